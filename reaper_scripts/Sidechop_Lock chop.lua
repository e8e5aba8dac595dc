-- @noindex
-- Keeps the chop at the edit cursor whatever a re-roll changes, or lets it go again.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("chop_actions").lock()
