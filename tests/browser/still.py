"""Pictures that are the same each time: what a run of the lab chose by chance is written alike on the page."""

from __future__ import annotations

from playwright.sync_api import Page

_ALIKE = r"""() => {
  const alike = [
    [/(imap|pop3)(s?):\/\/localhost:\d+(\?\S*)?/g, (_, name, tls) => `${name}${tls}://${name}.old.test`],
    [/\d+\.\d\d (s|秒)/g, "0.02 $1"],
    [/\d{1,2} [A-Z][a-z]{2,3} \d{4} \d\d:\d\d UTC/g, "21 Sept 2026 14:13 UTC"],
    [/\d{4}年\d+月\d+日 \d\d:\d\d UTC/g, "2026年9月21日 14:13 UTC"],
  ];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const before = texts.currentNode.data;
    const after = alike.reduce((text, [found, instead]) => text.replace(found, instead), before);
    if (after !== before) texts.currentNode.data = after;
  }
  document.activeElement?.blur();
}"""
"""Ports of the lab's hosts and how fast they answered; the times of a service that runs on the real clock."""


def make_still(page: Page) -> None:
    """Write ports, times and speeds alike, and take the focus away; the page is for its picture alone then."""
    page.evaluate(_ALIKE)
