"""Be a DAW for ten seconds: tell a running `sidechop live --chops chopper-live` where the playhead is, and print where
on that timeline it hears chops.

python examples/tell_transport.py [PORT] [SECONDS]
"""

import itertools
import sys
import time

from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.udp_client import DispatchClient

port = int(sys.argv[1]) if len(sys.argv) > 1 else 9190
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
TEMPO = 120.0

client = DispatchClient("127.0.0.1", port)
client.dispatcher.map("/sidechop/event/marker", lambda address, *values: print(*values))
client.dispatcher.map("/sidechop/error", lambda address, *values: print(*values, file=sys.stderr))

ids = itertools.count(1)
client.send_message("/sidechop/subscribe", [next(ids), "markers", seconds + 5])
started = time.monotonic()
while (gone := time.monotonic() - started) < seconds:
    beat = 64.0 + gone * TEMPO / 60  # beats are quarter notes
    message = OscMessageBuilder("/sidechop/transport")
    message.add_arg(next(ids))
    for value, kind in ((beat, "d"), ("beats", "s"), (True, "T"), (TEMPO, "d"), (0.0, "d"), (0.0, "d")):
        message.add_arg(value, kind)  # positions as float64: a float32 is samples off after some minutes
    client.send(message.build())
    client.handle_messages(0.1)
