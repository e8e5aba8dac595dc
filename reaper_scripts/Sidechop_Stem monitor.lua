-- @noindex
-- Faders, mutes and solos of the stems that are heard live.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("monitor").open()
