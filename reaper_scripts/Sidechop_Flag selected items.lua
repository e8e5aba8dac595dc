-- @noindex
-- Marks what does not belong in the selected items, with a score, and cuts it out where the settings say so.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("flag_actions").flag()
