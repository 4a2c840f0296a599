/* A file that is dropped on .drop goes into the field inside it, whose name is shown; without a script the field works alone. */
"use strict";
for (const place of document.querySelectorAll(".drop")) {
  const field = place.querySelector("input[type=file]");
  const shown = place.querySelector("output");
  const over = (on) => (event) => {
    event.preventDefault();
    place.classList.toggle("over", on);
  };
  const tell = () => {
    shown.textContent = Array.from(field.files, (file) => file.name).join(", ");
  };
  place.addEventListener("dragenter", over(true));
  place.addEventListener("dragover", over(true));
  place.addEventListener("dragleave", over(false));
  place.addEventListener("drop", (event) => {
    over(false)(event);
    if (event.dataTransfer.files.length > 0) {
      field.files = event.dataTransfer.files;
      tell();
    }
  });
  field.addEventListener("change", tell);
}
