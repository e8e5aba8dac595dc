-- @noindex
-- Runs the selected items through a chain, and puts what comes out under them as takes, or on tracks.

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])")
package.path = here .. "lib/?.lua;" .. package.path

require("chain_actions").run()
