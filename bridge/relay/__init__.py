"""OSC for programs that have files but no sockets, such as the Lua of a stock REAPER."""
