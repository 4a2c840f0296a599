"""A real browser for tests: Debian's Chromium, driven by Playwright, which brings none of its own.

    with chromium() as browser, visit(browser, site) as page:
        page.goto("/")

Blocking: an async test runs all of it in one thread. A visit ends with an assertion that nothing went
wrong behind the page: no error on the console, no report of the content security policy, no dialog, and
no request to another host.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.kit.debian import CACHE, find

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
PHONE = {"width": 360, "height": 740}
DESK = {"width": 1100, "height": 760}
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
WAIT_MS = 30_000
"""For what comes by itself; only a failure waits so long."""

expect.set_options(timeout=WAIT_MS)

_TELLS_REPORTS = """
addEventListener("securitypolicyviolation", event => console.error(
    "content security policy: " + event.effectiveDirective + " " + event.blockedURI + " " + event.sample));
"""
_STATUS = re.compile(r"the server responded with a status of (\d+)")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser; raises debian.PeerMissing. Its profile and fonts' cache are its own."""
    found = find("chromium")
    with tempfile.TemporaryDirectory(prefix="chromium-") as folder, sync_playwright() as playwright:
        env = {**os.environ, **found.env, "HOME": folder, "XDG_CONFIG_HOME": folder, "XDG_CACHE_HOME": folder}
        if found.root != Path("/"):
            env["FONTCONFIG_FILE"] = str(_fonts(found.root, Path(folder)))
        browser = playwright.chromium.launch(
            executable_path=found.program, args=list(FLAGS), env=env, timeout=60_000
        )
        yield browser
        browser.close()


def _fonts(root: Path, folder: Path) -> Path:
    """Write what lets fonts be seen that were unpacked below `root`, and makes them the usual ones."""
    path = folder / "fonts.conf"
    usual = (
        "<match><edit name='family' mode='append_last'><string>WenQuanYi Micro Hei</string></edit></match>"
    )
    path.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>'
        f"<dir>{root}/usr/share/fonts</dir><dir>/usr/share/fonts</dir>{usual}"
        f"<cachedir>{CACHE}/chromium/fontconfig</cachedir></fontconfig>"
    )
    return path


class Faults:
    """What went wrong behind the pages of a context; `expected` are statuses that a page is meant to get."""

    def __init__(self, site: str, expected: Collection[int] = ()) -> None:
        self._site = urlsplit(site).netloc
        self._expected = {str(status) for status in expected}
        self.seen: list[str] = []

    def watch(self, context: BrowserContext) -> None:
        """Look at everything that pages of `context` do."""
        context.add_init_script(_TELLS_REPORTS)
        context.on("console", self._console)
        context.on("request", self._request)
        context.on("weberror", lambda error: self.seen.append(f"script: {error.error}"))
        context.on("dialog", self._dialog)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type not in {"error", "warning"}:
            return
        status = _STATUS.search(message.text)
        if status is None or status[1] not in self._expected:
            self.seen.append(f"{message.type}: {message.text} ({message.location.get('url')})")

    def _request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob", "about"} and parts.netloc != self._site:
            self.seen.append(f"asked another host: {request.url}")

    def _dialog(self, dialog: Any) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()


@contextmanager
def visit(
    browser: Browser,
    site: str,
    *,
    language: str = "en",
    dark: bool = False,
    phone: bool = False,
    scripts: bool = True,
    zone: str | None = None,
    expected: Collection[int] = (),
) -> Iterator[Page]:
    """Open a page of a fresh profile at `site`, such as http://127.0.0.1:8080; `zone` as "Asia/Shanghai"."""
    context = browser.new_context(
        base_url=site,
        locale=LANGUAGES[language],
        color_scheme="dark" if dark else "light",
        viewport=PHONE if phone else DESK,
        device_scale_factor=1,
        has_touch=phone,
        java_script_enabled=scripts,
        timezone_id=zone,
        reduced_motion="reduce",
    )
    context.set_default_timeout(WAIT_MS)
    faults = Faults(site, expected)
    faults.watch(context)
    page = context.new_page()
    try:
        yield page
        assert not faults.seen, faults.seen
    finally:
        context.close()


def fits(page: Page) -> bool:
    """Whether nothing makes the page scroll sideways."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return not wide


def unnamed(page: Page) -> list[str]:
    """Return what a screen reader cannot name: fields, buttons, links and pictures without words."""
    found: list[str] = page.evaluate(_UNNAMED)
    return found


def pale(page: Page) -> list[str]:
    """Return the words whose colour stands out too little from what is behind them (WCAG 2.2, 1.4.3)."""
    found: list[str] = page.evaluate(_PALE)
    return found


_PALE = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const parts = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = colour => {
    const [r, g, b] = colour.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = parts(getComputedStyle(e).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter(e => e.offsetParent !== null
    && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return texts.map(e => {
    const style = getComputedStyle(e);
    const [a, b] = [light(parts(style.color)), light(ground(e))].sort((x, y) => y - x);
    const large = parseFloat(style.fontSize) >= 24;
    return [(a + .05) / (b + .05) >= (large ? 3 : 4.5), e.textContent.trim().slice(0, 40) + " " + style.color];
  }).filter(([enough]) => !enough).map(([, words]) => words);
}"""

_UNNAMED = """() => {
  const words = e => (e.getAttribute("aria-label") || e.textContent || "").trim();
  const named = e => words(e) || e.title
    || (e.getAttribute("aria-labelledby") || "").split(" ").some(id => id && words(document.getElementById(id)))
    || [...(e.labels || [])].some(words);
  const wanted = 'input:not([type=hidden]), select, textarea, button, a[href], progress, nav, '
    + 'svg[role=img], img, table[role], [role=region]';
  return [...document.querySelectorAll(wanted)].filter(e => !named(e) && !e.getAttribute("alt"))
    .map(e => e.outerHTML.slice(0, 200));
}"""
