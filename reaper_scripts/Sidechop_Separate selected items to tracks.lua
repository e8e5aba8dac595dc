-- @noindex
-- Splits the selected items into stems, on tracks under their own or as takes.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("separate_actions").separate()
