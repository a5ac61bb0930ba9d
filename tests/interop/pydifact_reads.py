"""Reads a passenger list with pydifact: its segments as JSON."""
import json, sys
from pydifact.segmentcollection import Interchange
i = Interchange.from_str(open(sys.argv[1], encoding="utf-8").read())
print(json.dumps([[s.tag, *s.elements] for m in i.get_messages() for s in m.segments]))
