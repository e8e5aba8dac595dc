-- @noindex
-- Chooses anew where the selected, chopped items are cut; locked chops stay.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("chop_actions").reroll()
