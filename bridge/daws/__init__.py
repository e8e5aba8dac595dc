"""The DAWs: what each can be told over its own OSC, behind one small protocol."""
