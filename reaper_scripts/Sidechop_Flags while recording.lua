-- @noindex
-- Marks what does not belong while it is played. Run it again to end it.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("live_actions").flags_while_recording()
