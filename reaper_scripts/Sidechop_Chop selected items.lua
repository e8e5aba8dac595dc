-- @description Sidechop: chops, flags and stems of items
-- @author Sidechop
-- @version 0.1.0
-- @about
--   Finds where to cut the selected items, and puts markers, take markers, splits or regions there.
--   With it come actions that re-roll and lock chops, flag and separate items, run them through chains, flag while
--   recording, and the stem monitor. They need the program sidechop on the same machine: `sidechop install reaper`.
-- @provides
--   [main] .
--   [main] Sidechop_*.lua
--   [nomain] lib/*.lua

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("chop_actions").chop()
