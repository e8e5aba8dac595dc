"""The maker of training songs: composed, played from freely licensed sounds, and mixed into four stems."""
