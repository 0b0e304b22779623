"""TOML documents for test_toml.py, valid and invalid ones by name; old interpreters import it too."""


def typed(value):
    """Return `value` as JSON data that keeps exact types and the order of keys; nan equals nan."""
    if isinstance(value, dict):
        return ["dict", [[key, typed(item)] for key, item in value.items()]]
    if isinstance(value, list):
        return ["list", [typed(item) for item in value]]
    if isinstance(value, str):
        return ["str", value]
    if hasattr(value, "isoformat"):
        zone = type(getattr(value, "tzinfo", None)).__name__
        return [type(value).__name__, value.isoformat(), zone]
    return [type(value).__name__, repr(value)]


VALID = {
    # Documents, blanks and comments
    "empty": "",
    "only_newline": "\n",
    "only_blanks": " \t ",
    "only_crlf": "\r\n\r\n",
    "only_comment": "# nothing",
    "comment_with_newline": "# nothing\n",
    "comment_empty": "#",
    "comment_with_tab": "#\tx\n\t# y",
    "comment_unicode": "# é ☃ \U0001f40d \ufeff\na = 1",
    "comment_with_syntax": "# [a] b = \"c\" ''' #\n",
    "comment_after_pair": "a = 1 # one",
    "comment_after_pair_close": "a = 1# one",
    "comment_after_header": "[a] # table\n[[b]]# array\n",
    "comment_hash_in_string": "a = 'x # y' # z",
    "comment_nel_and_ls": "# \x85 \u2028 \u2029\na = '\x85\u2028'",
    "no_newline_at_end": "a = 1\nb = 2",
    "blank_lines": "\n\na = 1\n\n \t \n\nb = 2\n\n",
    "indented": "  a = 1\n\tb = 2\n  [c]\n    d = 3",
    "no_space": "a=1\nb='x'\nc=[1,2]\nd={e=1}",
    "much_space": "a \t =\t \t1 \t",
    "crlf": "a = 1\r\nb = 'x' # c\r\n\r\n[t]\r\nc = [\r\n 1,\r\n]\r\n",
    "crlf_mixed": "a = 1\r\nb = 2\nc = 3\r\n",
    "crlf_in_multiline_basic": 'a = """\r\none\r\ntwo\\\r\n  three"""',
    "crlf_in_multiline_literal": "a = '''\r\none\r\ntwo'''",
    "tabs": "\ta\t=\t1\t#\tone\n\t[\tb\t]\t\n\t[[\tc\t]]\t",
    # Keys
    "key_bare": "abc = 1\nABC = 2\na_b = 3\na-b = 4\n_ = 5\n- = 6",
    "key_digits": "1234 = 'x'\n0 = 1\n007 = 2",
    "key_like_float": "3.14159 = 'pi'",
    "key_like_date": "2021-01-01 = 'day'",
    "key_like_bool": "true = 1\nfalse = 2\ninf = 3\nnan = 4\n-inf = 5",
    "key_like_exponent": "1e5 = 1\n0x1F = 2",
    "key_quoted": '"127.0.0.1" = 1\n"a b" = 2\n"ʎǝʞ" = 3',
    "key_quoted_escape": r'"a\"b\\c\u00e9\n" = 1',
    "key_literal": "'a b' = 1\n'quoted \"v\"' = 2\n'c\\d' = 3",
    "key_empty": '"" = 1',
    "key_empty_literal": "'' = 1",
    "key_empty_dotted": "''.\"\".a = 1",
    "key_quoted_same_as_bare_elsewhere": "[a]\nb = 1\n[\"c\"]\n'b' = 2",
    "key_with_dot_quoted": 'a."b.c".d = 1\n"a.b" = 2',
    "key_dotted": "a.b = 1\na.c = 2\nd.e.f = 3",
    "key_dotted_spaces": "a . b\t.\tc = 1\n a. d =2",
    "key_dotted_quoted_spaces": "a . \"b c\" . 'd' = 1",
    "key_dotted_out_of_order": "apple.type = 'fruit'\norange.type = 'fruit'\napple.skin = 'thin'\n"
                               "orange.skin = 'thick'",
    "key_dotted_deep": ".".join("abcdefghij") + " = 1",
    "key_dotted_sibling_after_deep": "a.b.c = 1\na.d = 2\na.b.e = 3",
    "key_dotted_numbers": "1.2.3 = 4\n1.2.4 = 5",
    "key_dotted_in_table": "[a]\nb.c = 1\nb.d = 2\n[a.e]\nf.g = 3",
    "key_case_sensitive": "a = 1\nA = 2",
    "key_unicode_quoted": '"\U0001f40d" = 1\n"é" = 2\n"e\u0301" = 3',
    "key_with_tab_quoted": '"a\tb" = 1\n\'c\td\' = 2',
    "key_hash_quoted": '"#" = 1\n\'=\' = 2\n"[x]" = 3',
    # Basic strings
    "basic": 'a = "x"',
    "basic_empty": 'a = ""',
    "basic_unicode": 'a = "é ☃ \U0001f40d"',
    "basic_escapes": r'a = "\b\t\n\f\r\"\\"',
    "basic_escape_u": r'a = "\u0041\u00e9\u263A\uD7FF\uE000\uFFFF"',
    "basic_escape_long_u": r'a = "\U00000041\U0001F40D\U0010FFFF\U0000d7ff"',
    "basic_escape_nul": r'a = "\u0000\u001f\u007F"',
    "basic_escape_then_text": r'a = "\u00410\U0001F40D0"',
    "basic_escaped_backslash_u": r'a = "\\u0041"',
    "basic_tab": 'a = "x\ty"',
    "basic_apostrophes": "a = \"'x' '''y'''\"",
    "basic_hash": 'a = "# no comment" # comment',
    "basic_escaped_quote_at_end": r'a = "x\""',
    "basic_escaped_backslash_at_end": r'a = "x\\"',
    "basic_brackets": 'a = "[]{},="',
    "basic_nel": 'a = "\x80\x85\xa0\u2028"',
    "basic_lone_surrogate_raw": 'a = "\ud800"',
    # Multi-line basic strings
    "multi_basic": 'a = """x"""',
    "multi_basic_empty": 'a = """"""',
    "multi_basic_only_newline": 'a = """\n"""',
    "multi_basic_two_newlines": 'a = """\n\n"""',
    "multi_basic_lines": 'a = """\none\ntwo\n"""',
    "multi_basic_first_line_text": 'a = """one\ntwo"""',
    "multi_basic_first_newline_after_blank": 'a = """ \none"""',
    "multi_basic_line_end": 'a = """\none \\\n   two \\\n\n\n   three\\\n   """',
    "multi_basic_line_end_blank": 'a = """one \\  \t \n  two"""',
    "multi_basic_line_end_first": 'a = """\\\n  one"""',
    "multi_basic_line_end_to_close": 'a = """one\\\n"""',
    "multi_basic_line_end_twice": 'a = """one\\\n\\\n\\  \n  two"""',
    "multi_basic_escaped_backslash_at_line_end": 'a = """one\\\\\n  two"""',
    "multi_basic_line_end_then_escape": 'a = """one\\\n  \\ttwo"""',
    "multi_basic_quotes": 'a = """one "two" ""three"" four"""',
    "multi_basic_quote_at_start": 'a = """"one"""',
    "multi_basic_two_quotes_at_start": 'a = """""one"""',
    "multi_basic_one_quote_at_end": 'a = """one""""',
    "multi_basic_two_quotes_at_end": 'a = """one"""""',
    "multi_basic_only_one_quote": 'a = """""""',
    "multi_basic_only_two_quotes": 'a = """"""""',
    "multi_basic_escaped_quotes": 'a = """one \\"""\\" two ""\\""""',
    "multi_basic_escapes": 'a = """\\b\\t\\n\\f\\r\\"\\\\\\u00e9\\U0001F40D"""',
    "multi_basic_apostrophes": "a = \"\"\"'''x'''\"\"\"",
    "multi_basic_tab": 'a = """\n\tx\n\t"""',
    "multi_basic_hash": 'a = """\n# no comment\n""" # comment',
    "multi_basic_header_inside": 'a = """\n[b]\nc = 1\n"""\nd = 2',
    "multi_basic_in_array": 'a = ["""x\ny""", """z"""]',
    "multi_basic_then_pair": 'a = """x"""\nb = """y"""',
    # Literal strings
    "literal": "a = 'x'",
    "literal_empty": "a = ''",
    "literal_backslash": r"a = 'C:\Users\n\u0041\'",
    "literal_quotes": "a = '\"x\" \"\"\"y\"\"\"'",
    "literal_tab": "a = 'x\ty'",
    "literal_unicode": "a = 'é\U0001f40d'",
    "multi_literal": "a = '''x'''",
    "multi_literal_empty": "a = ''''''",
    "multi_literal_only_newline": "a = '''\n'''",
    "multi_literal_lines": "a = '''\none\n two\\\n  three\n'''",
    "multi_literal_apostrophes": "a = '''I [dw]on't need ''two'' apples'''",
    "multi_literal_one_apostrophe_at_end": "a = '''x''''",
    "multi_literal_two_apostrophes_at_end": "a = '''x'''''",
    "multi_literal_two_apostrophes_at_start": "a = '''''x'''",
    "multi_literal_only_one_apostrophe": "a = '''''''",
    "multi_literal_only_two_apostrophes": "a = ''''''''",
    "multi_literal_quotes": "a = '''\"\"\"x\"\"\"'''",
    "multi_literal_backslash_at_end": "a = '''x\\'''",
    "multi_literal_tab": "a = '''\n\tx'''",
    # Integers
    "int": "a = 99\nb = +99\nc = -17\nd = 0\ne = +0\nf = -0",
    "int_underscores": "a = 1_000\nb = 5_349_221\nc = 53_49_221\nd = 1_2_3_4_5",
    "int_limits": "a = 9223372036854775807\nb = -9223372036854775808",
    "int_beyond_64_bits": "a = 123456789012345678901234567890",
    "int_hex": "a = 0xDEADBEEF\nb = 0xdeadbeef\nc = 0xdead_beef\nd = 0x0\ne = 0x00ff",
    "int_oct": "a = 0o01234567\nb = 0o755\nc = 0o7_6_5\nd = 0o0",
    "int_bin": "a = 0b11010110\nb = 0b0\nc = 0b0001_1000",
    "int_hex_looks_like_exponent": "a = 0x1e5\nb = 0xE",
    # Floats
    "float": "a = +1.0\nb = 3.1415\nc = -0.01\nd = 0.0",
    "float_exponent": "a = 5e+22\nb = 1e06\nc = -2E-2\nd = 0e0\ne = 1e00",
    "float_both": "a = 6.626e-34\nb = 1.5E+3",
    "float_underscores": "a = 224_617.445_991_228\nb = 1_0e1_0\nc = 9_224.0e-0_1",
    "float_inf": "a = inf\nb = +inf\nc = -inf",
    "float_nan": "a = nan\nb = +nan\nc = -nan",
    "float_zero": "a = 0.0\nb = +0.0\nc = -0.0\nd = -0e0",
    "float_overflow": "a = 1e400\nb = -1e400\nc = 1e-400",
    "float_many_digits": "a = 3.14159265358979323846264338327950288",
    "float_leading_zeros_in_fraction": "a = 0.001\nb = 1.00100",
    "float_inf_nan_array": "a = [inf, -nan,+inf,nan]",
    # Booleans
    "bool": "a = true\nb = false",
    "bool_array": "a = [true,false]",
    "bool_comment": "a = true# yes",
    # Dates and times
    "offset_datetime": "a = 1979-05-27T07:32:00Z\nb = 1979-05-27T00:32:00-07:00\n"
                       "c = 1979-05-27T00:32:00.999999-07:00",
    "offset_datetime_space": "a = 1979-05-27 07:32:00Z",
    "offset_datetime_lower": "a = 1979-05-27t07:32:00z",
    "offset_datetime_plus": "a = 2000-01-01T00:00:00+05:30",
    "offset_datetime_zero": "a = 2000-01-01T00:00:00+00:00\nb = 2000-01-01T00:00:00-00:00",
    "offset_datetime_limits": "a = 2000-01-01T00:00:00+23:59\nb = 2000-01-01T00:00:00-23:59",
    "offset_datetime_negative_minutes": "a = 2000-01-01T00:00:00-03:30\nb = 2000-01-01T00:00:00-00:30",
    "offset_datetime_fraction": "a = 2000-01-01T00:00:00.5Z\nb = 2000-01-01T00:00:00.123456789+01:00",
    "local_datetime": "a = 1979-05-27T07:32:00\nb = 1979-05-27 00:32:00.999999",
    "local_datetime_lower": "a = 1979-05-27t07:32:00.25",
    "local_datetime_truncated": "a = 1979-05-27T07:32:00.1234567\nb = 1979-05-27T07:32:00.9999999",
    "local_datetime_comment": "a = 1979-05-27 07:32:00 # c\nb = 1979-05-27 07:32:00# c",
    "local_date": "a = 1979-05-27",
    "local_date_trailing_space": "a = 1979-05-27 \nb = 1979-05-27 # c",
    "local_date_limits": "a = 0001-01-01\nb = 9999-12-31",
    "local_date_leap": "a = 2000-02-29\nb = 2020-02-29",
    "local_time": "a = 07:32:00\nb = 00:32:00.999999",
    "local_time_limits": "a = 00:00:00\nb = 23:59:59.999999999",
    "local_time_fractions": "a = 01:02:03.1\nb = 01:02:03.12\nc = 01:02:03.000001\nd = 01:02:03.0000001",
    "dates_in_array": "a = [1979-05-27, 1979-05-27T07:32:00Z,07:32:00, 1979-05-27 07:32:00]",
    "dates_in_inline_table": "a = {b = 1979-05-27 07:32:00, c = 07:32:00,d=1979-05-27}",
    # Arrays
    "array_empty": "a = []\nb = [ ]\nc = [\n]\nd = [ # x\n]",
    "array_ints": "a = [1, 2, 3]\nb = [1,2,3]",
    "array_trailing_comma": "a = [1, 2, ]\nb = [1,]\nc = [1\n,\n]",
    "array_mixed": "a = [1, 2.0, 'x', true, 1979-05-27, [1], {b = 1}, inf]",
    "array_nested": "a = [[1, 2], ['x', [[]]], [[], []]]",
    "array_lines": "a = [\n  1,\n  2,\n\n  3\n]",
    "array_comments": "a = [ # one\n  1, # two\n  # three\n  2 # four\n  , # five\n  3\n  # six\n] # seven",
    "array_comment_with_bracket": "a = [\n  1, # ]\n  2,\n]",
    "array_strings": "a = [\"x\", 'y', \"\"\"z\"\"\", '''w''']",
    "array_string_with_bracket": "a = ['],', \"]\"]",
    "array_of_inline_tables": "a = [{x = 1, y = 2}, {x = 3}, {}]",
    "array_lines_of_inline_tables": "a = [\n  {x = 1},\n  {y = [\n    1,\n  ]},\n]",
    "array_blanks": "a =[\t1 ,\t2\t,\t]",
    "array_deep": "a = " + "[" * 60 + "]" * 60,
    "array_long": "a = [" + "1, " * 2000 + "]",
    "array_empty_strings": "a = ['', \"\", '''''', \"\"\"\"\"\"]",
    "array_then_pair": "a = [1]\nb = [2]",
    # Inline tables
    "inline_empty": "a = {}\nb = { }\nc = {\t}",
    "inline": "a = {x = 1, y = 'z'}",
    "inline_no_blanks": "a={x=1,y=2}",
    "inline_nested": "a = {b = {c = {d = 1}}, e = {}}",
    "inline_dotted": "a = {b.c = 1, b.d = 2, e . f = 3}",
    "inline_dotted_deep": "a = {b.c.d = 1, b.c.e = 2, b.f = 3}",
    "inline_quoted_keys": "a = {\"x y\" = 1, '' = 2, 'z' . \"w\" = 3}",
    "inline_array_over_lines": "a = {b = [\n  1, # one\n  2,\n], c = 3}",
    "inline_multi_string": 'a = {b = """\nx\ny""", c = \'\'\'\nz\'\'\'}',
    "inline_comment_after": "a = {b = 1} # c",
    "inline_in_array_in_inline": "a = {b = [{c = [{d = 1}]}]}",
    "inline_deep": "a = " + "{b = " * 60 + "1" + "}" * 60,
    "inline_same_key_in_siblings": "a = [{b = 1}, {b = 2}]\nc = {b = 3}",
    "inline_key_like_outer": "a = {a = {a = 1}}",
    # TOML 1.1
    "basic_escape_e": r'a = "\e"',
    "basic_escape_x": r'a = "\x41"',
    "datetime_no_seconds": "a = 2021-01-01T00:00",
    "time_no_seconds": "a = 07:32",
    "inline_trailing_comma": "a = {b = 1,}",
    "inline_trailing_comma_space": "a = {b = 1, }",
    "inline_newline": "a = {\nb = 1}",
    "inline_newline_empty": "a = {\n}",
    "inline_newline_after_comma": "a = {b = 1,\nc = 2}",
    "inline_newline_at_end": "a = {b = 1\n}",
    "inline_comment": "a = {b = 1 # }\n}",
    "basic_escape_e_and_x": r'a = "\e[0m\x00\x1b\x7f\x80\xe9\xFf\x410"',
    "key_escape_e_and_x": '"\\e" = 1\n"\\x61"."\\x2e" = 2',
    "multi_basic_escape_e_and_x": 'a = """\\e\\x0A\\\n  \\x22\\\\"""',
    "multi_literal_escape_e": r"a = '''\e\x41'''",
    "datetime_no_seconds_kinds": "a = 1979-05-27 07:32Z\nb = 1979-05-27t07:32-07:00\nc = 1979-05-27 07:32\nd = 00:00",
    "times_no_seconds_in_values": "a = [07:32,23:59 , 1979-05-27 07:32,]\nb = {c = 07:32,d=1979-05-27T07:32z}",
    "times_no_seconds_comment": "a = 07:32# c\nb = 1979-05-27T07:32 # c",
    "inline_lines": "a = {\n  x = 1,\n\n\ty = 2\n  ,\n  z = 3, # three\n  # }\n}\nb = 1",
    "inline_comments": "a = { # one\n # two\n b = 1 # three\n # four\n , # five\n c = 2 # six\n}# seven",
    "inline_comment_only": "a = { # }\n}",
    "inline_lines_nested": "a = [{\n b = {\n  c = 1,\n },\n d = [\n  {\n  },\n ],\n},]",
    "inline_lines_dotted": "a = {\n b.c = 1,\n b.d = 2,\n}",
    "inline_trailing_comma_nested": "a = {b = {c = 1,},}",
    "inline_trailing_comma_before_comment": "a = {b = 1 # x\n, # y\n}",
    "inline_lines_quoted_keys": "a = {\n'}' = 1,\n\"#\" = 2\n}",
    # Tables
    "table": "[a]\nb = 1\n[c]\nd = 2",
    "table_empty": "[a]\n[b]\n[c]",
    "table_dotted": "[a.b.c]\nd = 1",
    "table_blanks": "[ a . b ]\n[\ta\t.\t'c' ]\n[ d.e ]",
    "table_quoted": '[a."b.c"]\n[\'d e\']\n[""]\n["f"."g"]',
    "table_numbers": "[1.2]\na = 1\n[2021-01-01]\nb = 2",
    "table_super_after": "[x.y.z.w]\na = 1\n[x]\nb = 2",
    "table_super_between": "[a.b.c]\n[a]\nx = 1\n[a.b]\ny = 2",
    "table_sub_after": "[a]\nx = 1\n[a.b]\ny = 2\n[a.b.c]\nz = 3",
    "table_out_of_order": "[fruit.apple]\n[animal]\n[fruit.orange]\nx = 1",
    "table_root_first": "a = 1\n[b]\nc = 2",
    "table_extends_dotted": "[fruit]\napple.color = 'red'\napple.taste.sweet = true\n"
                            "[fruit.apple.texture]\nsmooth = true",
    "table_below_root_dotted": "a.b = 1\n[a.c]\nd = 2",
    "table_dotted_into_parent": "[a.b.c]\nx = 1\n[a]\nb.d = 2",
    "table_key_same_as_table": "[a]\na = 1\n[b]\nb.b = 2",
    "table_indented": "[a]\n  [a.b]\n    c = 1\n  [a.d]\n    e = 2",
    "table_name_with_bracket_quoted": '["[a]"]\n["b]"]',
    "table_comment": "[a] # x\n# y\nb = 1",
    # Arrays of tables
    "aot": "[[a]]\nb = 1\n[[a]]\nb = 2",
    "aot_empty_items": "[[a]]\n[[a]]\n[[a]]",
    "aot_one": "[[a]]",
    "aot_blanks": "[[ a . b ]]\n[[\ta.b\t]]",
    "aot_sub_table": "[[a]]\nx = 1\n[a.b]\ny = 2\n[[a]]\nx = 3\n[a.b]\ny = 4",
    "aot_nested": "[[fruit]]\nname = 'apple'\n[fruit.physical]\ncolor = 'red'\n"
                  "[[fruit.variety]]\nname = 'delicious'\n"
                  "[[fruit.variety]]\nname = 'smith'\n[[fruit]]\nname = 'banana'\n"
                  "[[fruit.variety]]\nname = 'plantain'",
    "aot_deep": "[[a.b.c]]\nd = 1\n[[a.b.c]]\nd = 2\n[a.b.e]\nf = 3",
    "aot_in_table": "[a]\nx = 1\n[[a.b]]\ny = 2\n[[a.b]]\ny = 3",
    "aot_super_after": "[[a.b]]\nx = 1\n[a]\ny = 2",
    "aot_dotted_keys": "[[a]]\nb.c = 1\nb.d = 2\n[[a]]\nb.c = 3",
    "aot_interleaved": "[[a]]\nx = 1\n[[b]]\nx = 2\n[[a]]\nx = 3",
    "aot_implicit_sub": "[[a]]\n[a.b.c]\nx = 1\n[a.b]\ny = 2\n[[a]]\n[a.b]\n",
    "aot_quoted": '[["a b"]]\n[["a b"]]\n[["a b".c]]\n[["a b".c]]',
    "aot_with_inline": "[[a]]\nb = {c = 1}\n[[a]]\nb = [{c = 2}]",
    "aot_below_aot_twice": "[[a]]\n[[a.b]]\n[[a.b.c]]\n[[a.b.c]]\n[[a.b]]\n[[a.b.c]]\n[[a]]",
    # Documents as people write them
    "toml_io_example": '''# This is a TOML document

title = "TOML Example"

[owner]
name = "Tom Preston-Werner"
dob = 1979-05-27T07:32:00-08:00

[database]
enabled = true
ports = [ 8000, 8001, 8002 ]
data = [ ["delta", "phi"], [3.14] ]
temp_targets = { cpu = 79.5, case = 72.0 }

[servers]

[servers.alpha]
ip = "10.0.0.1"
role = "frontend"

[servers.beta]
ip = "10.0.0.2"
role = "backend"
''',
    "pyproject_setuptools": '''[build-system]
requires = ["setuptools>=61", "wheel"]
build-backend = "setuptools.build_meta"

[project]
name = "spam-eggs"
dynamic = ["version"]
description = "Lovely Spam! Wonderful Spam!"
readme = "README.rst"
requires-python = ">=3.8"
license = {file = "LICENSE.txt"}
keywords = ["egg", "bacon", "sausage"]
authors = [
  {email = "hi@pradyunsg.me"},
  {name = "Tzu-Ping Chung"}, # the second one
]
classifiers = [
  "Development Status :: 4 - Beta",
  "Programming Language :: Python"
]
dependencies = [
  "httpx",
  "gidgethub[httpx]>4.0.0",
  "django>2.1; os_name != 'nt'",
]

[project.optional-dependencies]
test = [
  "pytest < 5.0.0",
  "pytest-cov[all]"
]

[project.urls]
homepage = "https://example.com"
"Bug Tracker" = 'https://example.com/issues#new'

[project.scripts]
spam-cli = "spam:main_cli"

[project.entry-points."spam.magical"]
tomatoes = "spam:main_tomatoes"

[tool.setuptools.packages.find]
where = ["src"]
exclude = ["*.tests"]

[tool.setuptools.dynamic]
version = {attr = "spam.__version__"}

[tool.pytest.ini_options]
addopts = "-ra -q"
filterwarnings = [
    'error',
    'ignore:.*\\(x\\):DeprecationWarning',
]
''',
    "pyproject_poetry": '''[tool.poetry]
name = "demo"
version = "0.1.0"
packages = [{include = "demo", from = "src"}]

[tool.poetry.dependencies]
python = "^3.8"
requests = {version = "^2.28", extras = ["socks"], optional = true}
numpy = [
  {version = "<=1.19", python = ">=3.6,<3.8"},
  {version = "^1.20", python = ">=3.8"}
]

[tool.poetry.group.dev.dependencies]
pytest = "*"

[[tool.poetry.source]]
name = "private"
url = "https://example.com/simple/"

[[tool.poetry.source]]
name = "other"
url = "https://example.org/simple/"
priority = "explicit"

[build-system]
requires = ["poetry-core>=1.0.0"]
build-backend = "poetry.core.masonry.api"
''',
    "pyproject_tools": r"""[tool.black]
line-length = 100
target-version = ['py38', 'py39']
include = '\.pyi?$'
extend-exclude = '''
/(
  # directories
  \.eggs
  | build's
)/
'''

[tool.ruff]
select = ["E", "F"]
[tool.ruff.per-file-ignores]
"__init__.py" = ["F401"]
"tests/**" = []

[tool.mypy]
strict = true
[[tool.mypy.overrides]]
module = ["yaml.*", "docker"]
ignore_missing_imports = true
[[tool.mypy.overrides]]
module = "x"

[tool.coverage]
run.branch = true
run.source = ["src"]
report.fail_under = 95.5

[tool.tox]
legacy_tox_ini = '''
    [tox]
    envlist = py38 \
              py39
'''
""",
    "cargo": '''[package]
name = "demo"
version = "0.1.0"
edition = "2021"

[dependencies]
serde = { version = "1.0", features = ["derive"] }
rand.version = "0.8"
rand.default-features = false

[target.'cfg(unix)'.dependencies]
libc = "0.2"

[profile.release]
opt-level = 3
lto = true

[[bin]]
name = "one"
[[bin]]
name = "two"
''',
    "lock": '''version = 1
[[package]]
name = "a"
version = "1.0"
source = { registry = "https://example.com" }
dependencies = [
    { name = "b" },
    { name = "c", marker = "sys_platform == 'win32'" },
]
wheels = []

[package.metadata]
requires-dist = [{ name = "b", specifier = ">=1" }]

[[package]]
name = "b"

[package.optional-dependencies]
x = [{ name = "c" }]
''',
}


INVALID = {
    # Documents, blanks and comments
    "bom": "\ufeffa = 1",
    "word": "hello",
    "number_line": "1",
    "string_line": "'x'",
    "bracket_line": "]",
    "brace_line": "{}",
    "value_missing": "a =",
    "value_missing_newline": "a =\n1",
    "value_missing_comment": "a = # 1",
    "equals_missing": "a 1",
    "equals_only": "= 1",
    "equals_twice": "a == 1",
    "colon": "a: 1",
    "two_pairs_on_line": "a = 1 b = 2",
    "two_values": "a = 1 2",
    "comma_after_value": "a = 1,",
    "semicolon_comment": "; x",
    "pair_after_header": "[a] b = 1",
    "headers_on_line": "[a] [b]",
    "comment_nul": "# \x00",
    "comment_control": "# \x01\na = 1",
    "comment_delete": "# \x7f",
    "comment_cr": "# x\ry\n",
    "comment_cr_at_end": "a = 1 # x\r",
    "comment_form_feed_in_array": "a = [ # \x0c\n1]",
    "cr_alone": "\r",
    "cr_line_end": "a = 1\rb = 2",
    "cr_cr_newline": "a = 1\r\r\nb = 2",
    "cr_after_header": "[a]\r[b]",
    "form_feed": "\x0ca = 1",
    "vertical_tab": "a = 1\x0b",
    "no_break_space": "a =\xa01",
    "ideographic_space": "\u3000a = 1",
    "nul": "a = 1\x00",
    "nel_line_end": "a = 1\x85b = 2",
    # Keys
    "key_empty": " = 1",
    "key_with_space": "a b = 1",
    "key_unicode_bare": "é = 1",
    "key_superscript_digit": "a² = 1",
    "key_arabic_digit": "\u0661 = 1",
    "key_plus": "+a = 1",
    "key_hash": "a#b = 1",
    "key_dot_first": ".a = 1",
    "key_dot_last": "a. = 1",
    "key_dots": "a..b = 1",
    "key_dot_only": ". = 1",
    "key_over_lines": "a.\nb = 1",
    "key_newline_before_equals": "a\n= 1",
    "key_multi_basic": '"""a""" = 1',
    "key_multi_literal": "'''a''' = 1",
    "key_quote_open": '"a = 1',
    "key_literal_open": "'a = 1",
    "key_quoted_newline": '"a\nb" = 1',
    "key_quoted_bad_escape": r'"\x" = 1',
    "key_quoted_then_bare": '"a"b = 1',
    "key_bare_then_quoted": 'a"b" = 1',
    "key_twice": "a = 1\na = 2",
    "key_twice_quoted": "a = 1\n\"a\" = 1",
    "key_twice_escape": "a = 1\n\"\\u0061\" = 1",
    "key_twice_dotted": "a.b = 1\na.b = 2",
    "key_dotted_into_int": "a = 1\na.b = 2",
    "key_dotted_into_string": "a = 'x'\na.b.c = 2",
    "key_dotted_over_table": "a.b.c = 1\na.b = 2",
    "key_only_in_table": "[a]\nb",
    "key_end_of_document": "a.b",
    # Strings
    "basic_open": 'a = "x',
    "basic_open_at_quote": 'a = "',
    "basic_open_newline": 'a = "x\ny"',
    "basic_open_crlf": 'a = "x\r\ny"',
    "basic_escaped_close": r'a = "x\"',
    "basic_control": 'a = "\x1f"',
    "basic_nul": 'a = "\x00"',
    "basic_delete": 'a = "\x7f"',
    "basic_cr": 'a = "x\ry"',
    "basic_escape_unknown": r'a = "\a"',
    "basic_escape_slash": r'a = "\/"',
    "basic_escape_apostrophe": "a = \"\\'\"",
    "basic_escape_space": 'a = "x\\ y"',
    "basic_escape_newline": 'a = "x\\\ny"',
    "basic_escape_end": 'a = "\\',
    "basic_escape_upper": r'a = "\N"',
    "basic_escape_u_short": r'a = "\u004"',
    "basic_escape_u_no_hex": r'a = "\u00g0"',
    "basic_escape_u_sign": r'a = "\u+041"',
    "basic_escape_u_underscore": r'a = "\u0_41"',
    "basic_escape_u_fullwidth": 'a = "\\u004\uff11"',
    "basic_escape_u_surrogate": r'a = "\uD800"',
    "basic_escape_u_surrogate_pair": r'a = "\uD83D\uDC0D"',
    "basic_escape_u_surrogate_last": r'a = "\udfff"',
    "basic_escape_long_u_short": r'a = "\U0001F40"',
    "basic_escape_long_u_surrogate": r'a = "\U0000DFFF"',
    "basic_escape_long_u_too_big": r'a = "\U00110000"',
    "basic_escape_long_u_huge": r'a = "\UFFFFFFFF"',
    "basic_text_after": 'a = "x" y',
    "basic_four_quotes": 'a = """"',
    "multi_basic_open": 'a = """x',
    "multi_basic_open_two_quotes": 'a = """x""',
    "multi_basic_open_escaped": 'a = """x\\"""',
    "multi_basic_open_line_end": 'a = """x\\\n',
    "multi_basic_open_blank_line_end": 'a = """x\\  ',
    "multi_basic_six_quotes_at_end": 'a = """x""""""',
    "multi_basic_seven_quotes_at_end": 'a = """x"""""""',
    "multi_basic_nine_quotes": 'a = """""""""',
    "multi_basic_escape_blank_text": 'a = """x\\ y"""',
    "multi_basic_escape_unknown": 'a = """\\q"""',
    "multi_basic_escape_surrogate": 'a = """\\ud800"""',
    "multi_basic_cr": 'a = """x\ry"""',
    "multi_basic_escaped_cr": 'a = """x\\\r  y"""',
    "multi_basic_control": 'a = """\x0b"""',
    "multi_basic_delete": 'a = """\n\x7f"""',
    "literal_open": "a = 'x",
    "literal_open_newline": "a = 'x\n'",
    "literal_apostrophe": r"a = 'it\'s'",
    "literal_control": "a = '\x08'",
    "literal_cr": "a = 'x\ry'",
    "literal_three": "a = '''",
    "multi_literal_open": "a = '''x''",
    "multi_literal_six_at_end": "a = '''x''''''",
    "multi_literal_nine": "a = '''''''''",
    "multi_literal_cr": "a = '''x\r'''",
    "multi_literal_control": "a = '''\x00'''",
    "string_bare": "a = x",
    "string_backquote": "a = `x`",
    "string_concatenated": "a = 'x' 'y'",
    "string_prefix": "a = r'x'",
    # Numbers
    "int_leading_zero": "a = 01",
    "int_leading_zeros": "a = 00",
    "int_leading_zero_signed": "a = -01",
    "int_underscore_first": "a = _1",
    "int_underscore_last": "a = 1_",
    "int_underscore_twice": "a = 1__0",
    "int_underscore_after_sign": "a = +_1",
    "int_underscore_after_zero": "a = 0_1",
    "int_two_signs": "a = +-1",
    "int_sign_only": "a = -",
    "int_sign_space": "a = - 1",
    "int_letters": "a = 1x",
    "int_fullwidth": "a = \uff11",
    "int_fullwidth_later": "a = 1\uff11",
    "hex_empty": "a = 0x",
    "hex_upper_prefix": "a = 0X1",
    "hex_signed": "a = +0x1",
    "hex_bad_digit": "a = 0xg",
    "hex_underscore_first": "a = 0x_1",
    "hex_underscore_last": "a = 0x1_",
    "hex_fraction": "a = 0x1.5",
    "oct_bad_digit": "a = 0o8",
    "oct_upper_prefix": "a = 0O7",
    "oct_negative": "a = -0o7",
    "bin_bad_digit": "a = 0b2",
    "bin_upper_prefix": "a = 0B1",
    "bin_underscore_twice": "a = 0b1__0",
    "float_point_first": "a = .5",
    "float_point_last": "a = 5.",
    "float_point_exponent": "a = 5.e3",
    "float_two_points": "a = 1.2.3",
    "float_leading_zero": "a = 01.5",
    "float_underscore_before_point": "a = 1_.5",
    "float_underscore_after_point": "a = 1._5",
    "float_underscore_last": "a = 1.5_",
    "float_exponent_empty": "a = 1e",
    "float_exponent_sign_only": "a = 1e+",
    "float_exponent_twice": "a = 1e2e3",
    "float_exponent_fraction": "a = 1e2.3",
    "float_exponent_underscore_first": "a = 1e_2",
    "float_inf_upper": "a = Inf",
    "float_inf_long": "a = infinity",
    "float_nan_upper": "a = NaN",
    "float_inf_two_signs": "a = --inf",
    # Booleans and words
    "bool_upper": "a = True",
    "bool_long": "a = truer",
    "bool_short": "a = tru",
    "bool_with_digit": "a = false1",
    "null": "a = null",
    # Dates and times
    "date_february_30": "a = 2021-02-30",
    "date_february_29": "a = 2021-02-29",
    "date_century_29": "a = 1900-02-29",
    "date_april_31": "a = 2021-04-31",
    "date_month_0": "a = 2021-00-01",
    "date_month_13": "a = 2021-13-01",
    "date_day_0": "a = 2021-01-00",
    "date_day_32": "a = 2021-01-32",
    "date_year_0": "a = 0000-01-01",
    "date_short_year": "a = 199-01-01",
    "date_long_year": "a = 12021-01-01",
    "date_short_month": "a = 2021-1-01",
    "date_short_day": "a = 2021-01-1",
    "date_year_month": "a = 2021-01",
    "date_slashes": "a = 2021/01/01",
    "date_signed": "a = -2021-01-01",
    "date_t_only": "a = 2021-01-01T",
    "date_zone": "a = 2021-01-01Z",
    "datetime_two_spaces": "a = 2021-01-01  00:00:00",
    "datetime_tab": "a = 2021-01-01\t00:00:00",
    "datetime_no_separator": "a = 2021-01-0100:00:00",
    "datetime_bad_date": "a = 2021-02-30T00:00:00Z",
    "datetime_hour_24": "a = 2021-01-01T24:00:00",
    "datetime_offset_24": "a = 2021-01-01T00:00:00+24:00",
    "datetime_offset_minutes_60": "a = 2021-01-01T00:00:00+00:60",
    "datetime_offset_short": "a = 2021-01-01T00:00:00+01",
    "datetime_offset_no_colon": "a = 2021-01-01T00:00:00+0100",
    "datetime_offset_space": "a = 2021-01-01T00:00:00 +01:00",
    "datetime_zone_twice": "a = 2021-01-01T00:00:00ZZ",
    "datetime_point_only": "a = 2021-01-01T00:00:00.Z",
    "time_hour_24": "a = 24:00:00",
    "time_minute_60": "a = 00:60:00",
    "time_second_60": "a = 00:00:60",
    "time_second_61": "a = 23:59:61",
    "time_short_hour": "a = 7:32:00",
    "time_zone": "a = 07:32:00Z",
    "time_offset": "a = 07:32:00+01:00",
    "time_point_only": "a = 07:32:00.",
    "time_t_first": "a = T07:32:00",
    "date_fullwidth": "a = 2021-01-0\uff11",
    # Arrays
    "array_open": "a = [",
    "array_open_value": "a = [1",
    "array_open_comma": "a = [1,",
    "array_open_comment": "a = [1 # ]",
    "array_comma_only": "a = [,]",
    "array_comma_first": "a = [,1]",
    "array_two_commas": "a = [1,,2]",
    "array_two_trailing_commas": "a = [1,,]",
    "array_comma_missing": "a = [1 2]",
    "array_comma_missing_newline": "a = [1\n2]",
    "array_semicolon": "a = [1; 2]",
    "array_wrong_close": "a = [1}",
    "array_closed_twice": "a = [1]]",
    "array_text_after": "a = [1] x",
    "array_pair": "a = [b = 1]",
    "array_open_nested": "a = [[1]",
    "array_cr": "a = [1,\r2]",
    "array_too_deep": "a = " + "[" * 100000,
    "array_too_deep_closed": "a = 1\nb = " + "[" * 20000 + "]" * 20000,
    # Inline tables
    "inline_open": "a = {",
    "inline_open_value": "a = {b = 1",
    "inline_open_comma": "a = {b = 1,",
    "inline_comma_only": "a = {,}",
    "inline_comma_first": "a = {, b = 1}",
    "inline_two_commas": "a = {b = 1,, c = 2}",
    "inline_comma_missing": "a = {b = 1 c = 2}",
    "inline_value_missing": "a = {b = }",
    "inline_key_only": "a = {b}",
    "inline_colon": "a = {b: 1}",
    "inline_wrong_close": "a = {b = 1]",
    "inline_twice": "a = {b = 1, b = 2}",
    "inline_twice_dotted": "a = {b.c = 1, b.c = 2}",
    "inline_dotted_over_value": "a = {b = 1, b.c = 2}",
    "inline_value_over_dotted": "a = {b.c = 1, b = 2}",
    "inline_extended_inside": "a = {b = {c = 1}, b.d = 2}",
    "inline_array_extended_inside": "a = {b = [{c = 1}], b.d = 2}",
    "inline_extended_dotted": "a = {}\na.b = 1",
    "inline_extended_dotted_in_table": "[t]\na = {b = 1}\na.c = 2",
    "inline_extended_nested": "a = {b = {}}\na.b.c = 1",
    "inline_extended_table": "a = {}\n[a.b]",
    "inline_extended_header": "a = {b = 1}\n[a]",
    "inline_extended_aot": "a = {}\n[[a]]",
    "inline_extended_aot_below": "a = {b = []}\n[[a.b]]",
    "inline_over_dotted": "a.b = 1\na = {c = 2}",
    "inline_over_table": "[a.b]\n[a]\nb = {}",
    "inline_dotted_extended_by_header": "a = {b.c = 1}\n[a.b]",
    "inline_in_array_extended": "a = [{b = 1}]\n[a.c]",
    "inline_too_deep": "a = " + "{b = " * 20000,
    # TOML 1.1
    "basic_escape_x_short": r'a = "\x4"',
    "basic_escape_x_no_hex": r'a = "\x4g"',
    "basic_escape_x_upper": r'a = "\X41"',
    "basic_escape_e_upper": r'a = "\E"',
    "basic_escape_x_end": 'a = "\\x4',
    "time_no_minutes": "a = 07",
    "time_colon_last": "a = 07:32:",
    "time_fraction_without_seconds": "a = 07:32.5",
    "time_no_seconds_zone": "a = 07:32Z",
    "time_no_seconds_minute_60": "a = 07:60",
    "time_no_seconds_hour_24": "a = 24:00",
    "datetime_no_seconds_fraction": "a = 1979-05-27T07:32.5Z",
    "datetime_no_minutes": "a = 1979-05-27T07",
    "datetime_no_minutes_zone": "a = 1979-05-27T07Z",
    "datetime_no_seconds_hour_24": "a = 1979-05-27T24:00",
    "datetime_no_seconds_offset_short": "a = 1979-05-27T07:32+01",
    "inline_newline_in_key": "a = {b\n= 1}",
    "inline_newline_before_value": "a = {b =\n1}",
    "inline_newline_in_dotted_key": "a = {b.\nc = 1}",
    "inline_newline_for_comma": "a = {b = 1\nc = 2}",
    "inline_two_trailing_commas": "a = {b = 1,,}",
    "inline_two_trailing_commas_lines": "a = {b = 1,\n,\n}",
    "inline_comma_only_line": "a = {\n,\n}",
    "inline_comment_open": "a = {b = 1 # }",
    "inline_comment_control": "a = { # \x01\n}",
    "inline_cr": "a = {\rb = 1}",
    "inline_twice_over_lines": "a = {\n b = 1,\n b = 2,\n}",
    "inline_extended_inside_over_lines": "a = {\n b = {},\n b.c = 1,\n}",
    # Tables
    "table_open": "[a",
    "table_open_newline": "[a\n]",
    "table_open_bracket": "[",
    "table_empty_name": "[]",
    "table_blank_name": "[ ]",
    "table_dot_last": "[a.]",
    "table_dot_first": "[.a]",
    "table_dots": "[a..b]",
    "table_space_in_name": "[a b]",
    "table_closed_twice": "[a]]",
    "table_nested_brackets": "[[a]",
    "table_brackets_apart": "[ [a]]",
    "table_value": "[a] = 1",
    "table_equals": "[a = 1]",
    "table_wrong_close": "[a}",
    "table_unicode_bare": "[é]",
    "table_quote_open": "['a]",
    "table_multi_quoted": '["""a"""]',
    "table_comment_inside": "[a # b]",
    "table_twice": "[a]\n[a]",
    "table_twice_apart": "[a]\nb = 1\n[c]\n[a]\nd = 2",
    "table_twice_quoted": "[a.b]\n['a'.\"b\"]",
    "table_sub_twice": "[a.b]\n[a]\n[a.b]",
    "table_over_int": "a = 1\n[a]",
    "table_below_int": "a = 1\n[a.b]",
    "table_over_key": "[a]\nb = 1\n[a.b]",
    "table_below_string": "[a]\nb = 'x'\n[a.b.c]",
    "table_over_array": "a = []\n[a]",
    "table_below_array": "a = []\n[a.b]",
    "table_below_array_of_inline": "a = [{}]\n[a.b]",
    "table_over_aot": "[[a]]\n[a]",
    "table_over_dotted": "a.b = 1\n[a]",
    "table_over_dotted_in_table": "[a]\nb.c = 1\n[a.b]",
    "table_over_dotted_deep": "[a]\nb.c.d = 1\n[a.b.c]",
    "table_over_entered_parent": "[a.b.c]\n[a]\nb.d = 1\n[a.b]",
    "table_key_twice": "[a]\nb = 1\nb = 2",
    "table_key_over_sub": "[a.b]\n[a]\nb = 1",
    "table_dotted_into_sub": "[a.b]\n[a]\nb.c = 1",
    "table_dotted_into_sub_deep": "[a.b.c]\n[a]\nb.c.d = 1",
    "table_dotted_into_earlier_section": "a.b = 1\n[x]\n[a.c]\n[a]",
    # Arrays of tables
    "aot_open": "[[a",
    "aot_one_close": "[[a]\nb = 1",
    "aot_close_apart": "[[a] ]",
    "aot_empty_name": "[[]]",
    "aot_three_brackets": "[[[a]]]",
    "aot_over_table": "[a]\n[[a]]",
    "aot_over_implicit": "[a.b]\n[[a]]",
    "aot_over_dotted": "a.b = 1\n[[a]]",
    "aot_over_int": "a = 1\n[[a]]",
    "aot_over_array": "a = []\n[[a]]",
    "aot_over_array_of_inline": "a = [{}]\n[[a]]",
    "aot_over_key": "[a]\nb = []\n[[a.b]]",
    "aot_below_int": "a = 1\n[[a.b]]",
    "aot_below_array": "a = []\n[[a.b]]",
    "aot_then_sub_table_twice": "[[a]]\n[a.b]\n[a.b]",
    "aot_sub_table_then_aot": "[[a]]\n[a.b]\n[[a.b]]",
    "aot_aot_then_sub_table": "[[a]]\n[[a.b]]\n[a.b]",
    "aot_dotted_into": "[[a.b]]\n[a]\nb.c = 1",
    "aot_key_over": "[[a.b]]\n[a]\nb = 1",
    "aot_key_twice": "[[a]]\nb = 1\nb = 2",
    "aot_dotted_then_table": "[[a]]\nb.c = 1\n[a.b]",
}
