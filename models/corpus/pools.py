"""Who plays in which split: no soundfont, drum kit, one-shot set or singer of training is met again outside it."""

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Pool:
    """The players of one split.

    Attributes:
        soundfonts: General MIDI soundfonts for bass and other; their drum channels count as kits too.
        drum_soundfonts: soundfonts that hold drums alone.
        kits: drum kits of one-shots: Hydrogen kits, ``sonic-pi``, ``uzu``.
        singers: banks of the sung voice folder.
        one_shots: labels of the instruments folder.
        speakers: spoken phrases.
        loops: sources of percussion loops.
        breaks: drum loops that the chopper's songs are cut from (see ``breaks.BEATS``).
    """

    soundfonts: tuple[str, ...]
    drum_soundfonts: tuple[str, ...]
    kits: tuple[str, ...]
    singers: tuple[str, ...]
    one_shots: tuple[str, ...]
    speakers: tuple[str, ...] = ()
    loops: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()


POOLS = {
    "train": Pool(
        soundfonts=("fluid-soundfont-gm", "timgm6mb-soundfont"),
        drum_soundfonts=("fluid-soundfont-gm", "timgm6mb-soundfont"),
        kits=(
            "GMRockKit",
            "TR808EmulationKit",
            "BJA_Pacific",
            "ColomboAcousticDrumkit",
            "ForzeeStereo",
            "HardElectro1",
            "Millo-Drums_v.1",
            "Millo_MultiLayered2",
            "VariBreaks",
            "circAfrique v4",
            "Gimme A Hand 1.0",
            "sonic-pi",
            "uzu",
        ),
        singers=("kumi", "scottpoid", "yuki"),
        one_shots=("bass_growly", "doublebass_meat", "bass_yr", "guitar_shiny"),
        speakers=("tsp_FA", "tsp_MC"),
        loops=("mot4i/garden",),
        breaks=(
            "garden",
            "amen",
            "amen_full",
            "compus",
            "electric",
            "909beat01",
            "break01",
            "break02",
            "electro_beat01",
            "electro_beat02",
            "house_loop01",
        ),
    ),
    "validation": Pool(
        soundfonts=("musescore-general-soundfont",),
        drum_soundfonts=("musescore-general-soundfont",),
        kits=("ElectricEmpireKit", "Millo_MultiLayered3"),
        singers=("erithacus",),
        one_shots=("bass_fl",),
        breaks=("mehackit1", "mehackit2"),
    ),
    "test": Pool(
        soundfonts=("musescore-general-soundfont",),
        drum_soundfonts=("avldrums-red-zeppelin", "avldrums-black-pearl"),
        kits=("rumpf_kit_z01_h2", "Audiophob"),
        singers=("erithacus",),
        one_shots=("doublebass_dsmolken",),
        breaks=("breakbeat", "industrial"),
    ),
}
