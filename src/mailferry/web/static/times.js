/* A time that the page tells in UTC becomes the reader's: of the browser's zone, by the customs that the page follows. */
"use strict";
const SHOWN = {
  moment: { dateStyle: "medium", timeStyle: "short" },
  day: { dateStyle: "long" },
};
const tell = () => {
  for (const time of document.querySelectorAll("time[data-shown]")) {
    const form = new Intl.DateTimeFormat(time.dataset.customs, SHOWN[time.dataset.shown]);
    time.textContent = form.format(new Date(time.dateTime));
    delete time.dataset.shown;
  }
};
tell();
new MutationObserver(tell).observe(document.body, { childList: true, subtree: true });
