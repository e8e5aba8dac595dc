"""Where Sidechop goes into a DAW, a file for each: ``sidechop install``."""
