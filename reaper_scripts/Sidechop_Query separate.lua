-- @noindex
-- Takes what you type out of the selected items: a stem of it, and the rest.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("separate_actions").query()
