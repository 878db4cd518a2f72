"""A page in a real browser, opened from disk: does it stand on its own, and can everybody read it?

page.py FILE... opens each file in Chromium at the widths of a desk, a phone and a narrow phone, in light and in dark,
and as a print. Prints each step, and ends with 1 at the first finding. --shots FOLDER keeps pictures of what it saw.

Chromium is spoken to over a pipe (--remote-debugging-pipe, Chrome DevTools Protocol), so that no driver is needed.
"""

import argparse
import base64
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

WIDTHS = [1280, 390, 320]
# A4 without the page's margins, in CSS pixels.
PAPER = 687
# Seconds for all of it: a browser that hangs says nothing.
LONGEST = 300

# Returns what is wrong with the page as it is shown now, in words.
FINDINGS = r"""
(() => {
  const findings = [], wide = document.documentElement.clientWidth;
  const name = (e) => `${e.tagName}.${e.getAttribute('class') || ''} "${e.textContent.trim().slice(0, 40)}"`;
  if (document.documentElement.scrollWidth > wide) findings.push('it scrolls sideways');
  for (const e of document.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (!e.closest('svg svg') && box.width > 0 && (box.right > wide + 1 || box.left < -1)) findings.push('sticks out: ' + name(e));
  }
  for (const card of document.querySelectorAll('.card')) {
    const right = card.getBoundingClientRect().right;
    for (const e of card.querySelectorAll('td, th, p, li, code')) if (e.getBoundingClientRect().right > right) findings.push('sticks out of its card: ' + name(e));
  }
  if (!document.documentElement.lang || !document.title || document.querySelectorAll('h1').length !== 1 || document.querySelectorAll('main').length !== 1)
    findings.push('has no language, title, one heading or one main part');
  for (const e of document.querySelectorAll('table')) if (!e.caption) findings.push('has no caption: ' + name(e));
  for (const e of document.querySelectorAll('svg.chart')) {
    if (e.getAttribute('role') !== 'img' || !e.getAttribute('aria-label')) findings.push('is not told: ' + name(e));
    const figure = e.closest('figure').getBoundingClientRect();
    for (const kind of ['text.x', 'text.y']) {
      let last = null;
      for (const text of e.querySelectorAll(kind)) {
        const box = text.getBoundingClientRect();
        if (box.width === 0) continue;
        if (box.left < figure.left || box.right > figure.right || box.bottom > figure.bottom) findings.push('a label is clipped: ' + name(text));
        const apart = !last || box.left >= last.right || box.right <= last.left || box.top >= last.bottom || box.bottom <= last.top;
        if (!apart) findings.push('labels overlap: ' + name(text));
        last = box;
      }
    }
  }
  const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const color = parse(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  for (const e of document.body.querySelectorAll('*')) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || e.tagName === 'title') continue;
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.tagName === 'text' ? style.fill : style.color)), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) findings.push(`contrast ${contrast.toFixed(2)}: ` + name(e));
  }
  for (const e of document.querySelectorAll('path.curve')) {
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(style.stroke)), light(behind(e))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 3) findings.push(`contrast of a curve ${contrast.toFixed(2)}: ` + name(e));
  }
  return findings.slice(0, 10);
})()
"""


class Browser:
    """A Chromium of our own."""

    def __init__(self, home):
        program = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
        if program is None:
            sys.exit("Chromium is missing: apt-get install chromium")
        ours, theirs = os.pipe(), os.pipe()
        # Not below 10: in the child, 3 and 4 are the browser's ends.
        read, write = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (ours[0], theirs[1]))
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--hide-scrollbars", "--disable-background-networking", "--remote-debugging-pipe",
             f"--user-data-dir={home}", "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(read, 3), os.dup2(write, 4)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.into, self.out = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        for end in (ours[0], theirs[1], read, write):
            os.close(end)
        self.number, self.session, self.rest, self.events = 0, None, b"", []

    def read(self):
        while b"\0" not in self.rest:
            got = self.out.read1(1 << 20)
            if not got:
                sys.exit("Chromium has ended")
            self.rest += got
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.into.write(json.dumps(message).encode() + b"\0")
        self.into.flush()
        while True:
            answer = self.read()
            if answer.get("id") != self.number:
                self.events.append(answer)
            elif "error" in answer:
                sys.exit(f"{method}: {answer['error']['message']}")
            else:
                return answer["result"]

    def wait(self, method):
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self.read())

    def tab(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{part}.enable")

    def show(self, file, width, dark=False, paper=False):
        """Opens the file anew; returns what the browser complains about and what it asked for."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=[scheme])
        self.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        self.wait("Page.loadEventFired")
        complaints = []
        for event in self.events:
            method, params = event.get("method"), event.get("params", {})
            if method in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                complaints.append(json.dumps(params)[:300])
            if method == "Network.requestWillBeSent" and params["request"]["url"] != file.as_uri():
                complaints.append("asks for " + params["request"]["url"][:300])
        return complaints

    def findings(self):
        answer = self.call("Runtime.evaluate", expression=FINDINGS, returnByValue=True)
        if "exceptionDetails" in answer:
            sys.exit(json.dumps(answer["exceptionDetails"]))
        return answer["result"]["value"]

    def picture(self):
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])

    def print(self):
        pdf = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(pdf["data"])


def check(step, findings):
    print(("ok   " if not findings else "FAIL ") + step + "".join(f"\n     {finding}" for finding in findings))
    if findings:
        sys.exit(1)


def look(browser, file, shots):
    def keep(end, data):
        if shots:
            (shots / f"{file.stem}-{end}").write_bytes(data)

    for width in WIDTHS:
        for dark in (False, True):
            scheme = "dark" if dark else "light"
            complaints = browser.show(file, width, dark=dark)
            keep(f"{width}-{scheme}.png", browser.picture())
            check(f"{file.name} at {width} pixels, {scheme}", complaints + browser.findings())
    # Somebody who prefers dark prints on white paper all the same.
    complaints = browser.show(file, PAPER, dark=True, paper=True)
    check(f"{file.name} on paper", complaints + browser.findings())
    pdf = browser.print()
    keep("print.pdf", pdf)
    check(f"{file.name} as PDF", [] if pdf.startswith(b"%PDF-") else ["is no PDF"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--shots", type=pathlib.Path)
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"Chromium has not answered within {LONGEST} s"))
    signal.alarm(LONGEST)
    if args.shots:
        args.shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        browser = Browser(home)
        try:
            browser.tab()
            for file in args.files:
                look(browser, file.resolve(strict=True), args.shots)
        finally:
            browser.process.terminate()
            browser.process.wait(timeout=20)


main()
