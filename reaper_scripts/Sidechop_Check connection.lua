-- @noindex
-- Says whether Sidechop answers, and how it is reached; starts it if it does not run.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("setup_actions").check()
