"""What lies above the repo and belongs to another user is not obeyed."""


def test_a_second_user_runs_programs_here(other_user):
    assert other_user([other_user.python, "-c", "import os; print(os.getuid())"]).stdout == "12345\n"
