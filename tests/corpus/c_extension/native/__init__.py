from native._fast import answer

assert answer() == 42
