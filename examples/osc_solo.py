"""Solo a stem of a running `sidechop live` for three seconds, with nothing but python-osc: request, answer, event.

python examples/osc_solo.py [STEM] [PORT]
"""

import sys
import time

from pythonosc.udp_client import DispatchClient

stem = sys.argv[1] if len(sys.argv) > 1 else "vocals"
port = int(sys.argv[2]) if len(sys.argv) > 2 else 9190

client = DispatchClient("127.0.0.1", port)
client.dispatcher.map("/sidechop/*", lambda address, *values: print(address, *values))

client.send_message("/sidechop/subscribe", [1, "levels", 5.0])  # every request carries an id; the lease runs out
client.send_message("/sidechop/stem/solo", [2, stem, 1])
end = time.monotonic() + 3
while time.monotonic() < end:
    client.handle_messages(0.1)
client.send_message("/sidechop/stem/solo", [3, stem, 0])
client.handle_messages(0.5)
