"""Runs the checks. The last line is as cargo's tests end: `test result: ok. N passed; N failed; N ignored; …`."""

import pathlib
import sys
import unittest

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here))
sys.dont_write_bytecode = True
suite = unittest.defaultTestLoader.discover(str(here), top_level_dir=str(here))
result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(suite)
# A test that fails for several of its forms failed once.
failed = {getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors}
skipped = len(result.skipped)
passed = result.testsRun - len(failed) - skipped
state = "ok" if result.wasSuccessful() and result.testsRun else "FAILED"
print(f"test result: {state}. {passed} passed; {len(failed)} failed; {skipped} ignored; 0 measured; 0 filtered out")
sys.exit(0 if state == "ok" else 1)
