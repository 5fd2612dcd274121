"""Does `daebench compare --live` find what it says it finds?  Sessions with a known answer, and replays of their noise.

Not part of the suite that users run: it is the evidence for its verdicts, kept so that anybody can repeat it.
"""
