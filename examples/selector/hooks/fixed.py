"""A fixed path per environment, from pythons.txt. An environment that is not listed: no opinion."""
import os

name = os.environ["PROTOPRIMER_ENV"]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "pythons.txt")) as lines:
    for line in lines:
        environment, _, path = line.partition("=")
        if environment.strip() == name:
            print(path.strip())
