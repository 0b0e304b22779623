import os
import unittest

import versioned


class VersionedTest(unittest.TestCase):
    def test_version_is_that_of_the_environment(self):
        self.assertEqual(versioned.version(), os.environ["EXPECTED"])
