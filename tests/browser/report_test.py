#!/usr/bin/env python3
"""Opens the lab's report in headless Chromium: light, dark, Chinese, phone, printed, without script.

usage: report_test.py LAB_TESTS [--screenshots FOLDER] [--chromium PROGRAM]

LAB_TESTS is the built unit test program, which writes the sample pages. Needs python3 and Debian's chromium, nothing else;
fonts-noto-cjk for Chinese in the pictures. Exit 0: all passed, 1: something failed, 77: no Chromium here.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile

from chromium import Browser, Page

# Text that lies on other text of the same drawing, or outside the page.
COLLISIONS = """(() => {
  const faults = [];
  for (const svg of document.querySelectorAll('svg')) {
    if (!svg.getClientRects().length) continue;
    const texts = [...svg.querySelectorAll('text')].filter(t => t.textContent.trim() && t.getBoundingClientRect().width > 0);
    const boxes = texts.map(t => t.getBoundingClientRect()), said = texts.map(t => t.textContent);
    for (let i = 0; i < boxes.length; ++i) {
      if (boxes[i].left < 0 || boxes[i].right > innerWidth) faults.push('outside the page: ' + said[i]);
      for (let j = 0; j < i; ++j) {
        const x = Math.min(boxes[i].right, boxes[j].right) - Math.max(boxes[i].left, boxes[j].left);
        const y = Math.min(boxes[i].bottom, boxes[j].bottom) - Math.max(boxes[i].top, boxes[j].top);
        if (x > 1.5 && y > 0.3 * boxes[i].height) faults.push((svg.dataset.chart || svg.getAttribute('class')) + ': ' + said[j] + ' on ' + said[i]);
      }
    }
  }
  return faults;
})()"""

SHOWN = "[...document.querySelectorAll('%s')].filter(e => e.getClientRects().length).length"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"
HEADLINE = "document.querySelector('.answer').innerText"


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def expect(self, condition, what, found=None):
        if condition:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}" + ("" if found is None else f": {found}"))


def common(checks, page, name):
    width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    checks.expect(width[0] <= width[1], f"{name}: no horizontal overflow", width)
    checks.expect(not page.errors(), f"{name}: no console error", page.errors())
    checks.expect(len(page.requests()) == 1, f"{name}: no request but the file itself", page.requests()[1:])
    faults = page.evaluate(COLLISIONS)
    checks.expect(not faults, f"{name}: no colliding labels", faults[:6])


def look(checks, browser, url, name, shots, **how):
    page = Page(browser, url, **how)
    common(checks, page, name)
    if shots:
        page.screenshot(shots / f"{name}.png")
    return page


def themes_and_languages(checks, browser, url, shots):
    page = look(checks, browser, url, "light", shots)
    light = page.evaluate(BACKGROUND)
    checks.expect("MoE needs" in page.evaluate(HEADLINE), "light: English headline")
    page.evaluate("document.getElementById('theme-dark').click()")
    chosen_dark = page.evaluate(BACKGROUND)
    page.evaluate("document.getElementById('lang-zh').click()")
    checks.expect("达到相同损失" in page.evaluate(HEADLINE), "language switch: Chinese headline", page.evaluate(HEADLINE))
    checks.expect("needs" not in page.evaluate("document.body.innerText"), "language switch: no English left")
    checks.expect("混合专家" in page.evaluate("document.title"), "language switch: title")
    common(checks, page, "switched")
    page.close()

    page = look(checks, browser, url, "dark", shots, dark=True)
    checks.expect(page.evaluate(BACKGROUND) == chosen_dark != light, "dark: by the system's preference", page.evaluate(BACKGROUND))
    page.close()
    page = look(checks, browser, url + "#theme=light", "light-on-dark", None, dark=True)
    checks.expect(page.evaluate(BACKGROUND) == light, "light chosen on a dark system")
    page.close()
    look(checks, browser, url + "#lang=zh", "chinese", shots).close()


def without_script(checks, browser, url, shots):
    page = look(checks, browser, url, "without-script", shots, script=False)
    checks.expect(page.evaluate(SHOWN % "svg.plot") >= 7, "without script: charts are drawn", page.evaluate(SHOWN % "svg.plot"))
    checks.expect(page.evaluate(SHOWN % ".heat") >= 4, "without script: heatmaps are drawn")
    checks.expect(page.evaluate(SHOWN % ".copy") == 0, "without script: no dead buttons")
    # The switches are inputs that the style sheet reads.
    page.evaluate("document.getElementById('lang-zh').checked = true")
    checks.expect("达到相同损失" in page.evaluate(HEADLINE), "without script: language switch")
    page.close()


def switches(checks, browser, url, shots):
    page = Page(browser, url, height=2400)
    click = lambda name: page.evaluate(f"document.getElementById('{name}').click()")
    checks.expect(page.evaluate(SHOWN % ".prices .x-log") == 4, "axes: four small charts at first")
    click("x-lin")
    checks.expect(page.evaluate(SHOWN % ".prices .x-lin") == 4 and page.evaluate(SHOWN % ".prices .x-log") == 0, "axes: linear")
    common(checks, page, "linear")
    for axis in ("tokens", "flops", "seconds", "gb_seconds"):
        click("axis-" + axis)
        checks.expect(page.evaluate(SHOWN % f".large-{axis} .x-lin") == 1 and page.evaluate(SHOWN % ".prices .panels") == 0, f"axes: {axis} alone")
        common(checks, page, f"large {axis} linear")
        click("x-log")
        common(checks, page, f"large {axis} log")
        click("x-lin")
    arms = page.evaluate(SHOWN % ".prices .line")
    click("show-s0")
    checks.expect(page.evaluate(SHOWN % ".prices .line") == arms - 1, "arms: one hidden")
    click("show-s3"), click("show-s4")
    checks.expect(page.evaluate(SHOWN % ".prices .line") == arms + 1, "arms: controls shown")
    checks.expect(page.evaluate(SHOWN % ".prices .band") > 0, "bands: shown")
    click("bands")
    checks.expect(page.evaluate(SHOWN % ".prices .band") == 0, "bands: hidden")
    click("layer-0")
    checks.expect(page.evaluate(SHOWN % ".heat.layer") == 1 and page.evaluate(SHOWN % ".heat.layer-0") == 1, "heatmaps: one layer at a time")
    if shots:
        page.screenshot(shots / "switches.png")

    box = page.evaluate("(() => { const b = document.querySelector('.large-gb_seconds .x-lin').getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()")
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] / 2, y=box[1] + box[3] / 2)
    read = page.evaluate("document.querySelector('.read-out').hidden ? '' : document.querySelector('.read-out').innerText")
    checks.expect("GB·" in read and "MoE" in read and "dense" not in read, "read-out under the pointer", read)
    page.evaluate("navigator.clipboard.writeText = text => { window.copied = text; return Promise.resolve(); }")
    page.evaluate("document.querySelector('#prices .copy').click()")
    copied = page.evaluate("window.copied || ''")
    checks.expect(copied.startswith('"arm","tokens"') and copied.count("\n") > 80, "copy CSV", copied[:80])
    page.evaluate("document.querySelector('#domains .copy').click()")
    copied = page.evaluate("window.copied")
    checks.expect("English prose" in copied and "英文" not in copied, "copy CSV in the language shown", copied[:120])
    common(checks, page, "after all switches")
    page.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lab_tests")
    parser.add_argument("--screenshots", type=pathlib.Path)
    parser.add_argument("--chromium")
    options = parser.parse_args()
    if options.screenshots:
        options.screenshots.mkdir(parents=True, exist_ok=True)
    try:
        browser = Browser(options.chromium)
    except FileNotFoundError as missing:
        print(f"report_test: {missing}")
        return 77

    checks = Checks()
    with tempfile.TemporaryDirectory() as folder:
        try:
            subprocess.run([options.lab_tests, "--gtest_filter=Report.WritesSamples"], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "GAMUT_REPORT_OUT": folder})
            pages = {path.stem: path.as_uri() for path in pathlib.Path(folder).glob("*.html")}
            sample, shots = pages["sample"], options.screenshots
            themes_and_languages(checks, browser, sample, shots)
            without_script(checks, browser, sample, shots)
            switches(checks, browser, sample, shots)
            for width in (320, 390, 600, 820, 1400):
                look(checks, browser, sample, f"width-{width}", shots if width == 390 else None, width=width).close()
            look(checks, browser, sample + "#lang=zh", "phone-chinese", shots, width=390, dark=True).close()
            look(checks, browser, sample, "print", shots, media="print", dark=True, width=720).close()
            for name in sorted(set(pages) - {"sample"}):
                look(checks, browser, pages[name], name, shots).close()
                look(checks, browser, pages[name] + "#lang=zh", name + "-phone", None, width=390).close()
            # The widest system font: labels are placed by estimate, which must hold for it as well.
            page = Page(browser, sample)
            page.evaluate("document.body.style.fontFamily = '\"DejaVu Sans\", Verdana, sans-serif'")
            common(checks, page, "wide font")
            page.close()
        finally:
            browser.close()
    print(f"report_test: {checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
