"""Counted checks for scripts that test the program from the outside."""
import sys

passed = failed = 0


def expect(condition, what, found=""):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
        print(f"FAILED {what}" + (f": {found}" if found != "" else ""))


def report():
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)
