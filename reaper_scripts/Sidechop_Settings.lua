-- @noindex
-- What chops, flags and stems become, and how Sidechop is reached.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("setup_actions").settings()
