"""The sandbox's vocabulary: invented names, and lists of ordinary values.

Names are short and pronounceable ("Mira Tolen", "Vask"), since people read the generated files.
"""

import random


def _split(words: str, separator: str) -> tuple[str, ...]:
    return tuple(words.split(separator))


FIRST_NAMES = _split(
    "Mira Joren Asha Pell Tavi Oska Lune Berit Dario Nessa Halvor Ilka Ruben Sunna Corin Wren Edda Milo Thea Bram",
    " ",
)
JOBS = _split(
    "baker weaver doctor farmer painter miner sailor tailor judge mason printer potter brewer pilot smith nurse",
    " ",
)
PETS = _split("fox owl goat cat horse frog parrot duck rabbit snail pony crow lizard goose hen dog", " ")
INSTRUMENTS = _split(
    "violin flute drum harp piano horn guitar bell organ fiddle banjo lute trumpet cello whistle zither", " "
)
FOODS = _split("plums bread soup rice cheese figs beans noodles honey pears cake nuts eggs corn fish olives", " ")
THINGS = _split("apples coins cups books stones shells lamps ropes seeds hats keys boxes", " ")
BUILDINGS = _split("Bridge Tower Mill School Market Harbour Library Station Theatre Garden", " ")
MATERIALS = _split(
    "red brick|white stone|dark oak|grey slate|old iron|thin glass|yellow clay|rough granite|pale pine|green copper",
    "|",
)
SPOTS = _split(
    "beside the river|behind the church|on the north hill|near the east gate|under the cliff|"
    "by the salt lake|above the old square|along the canal|inside the castle wall|past the orchard",
    "|",
)
USES = _split(
    "storing grain|selling cloth|teaching music|mending nets|drying herbs|printing maps|keeping bees|"
    "casting bells|making paper|holding dances",
    "|",
)

_ONSETS = _split("b d f g h k l m n p r s t v z br dr kr st tr", " ")
_VOWELS = tuple("aeiou")
_ENDS = _split("len rin sk vost mar dal nik tos bek lund", " ")


def _invented(rng: random.Random, syllables: int) -> str:
    body = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(syllables))
    return (body + rng.choice(_ENDS)).capitalize()


def invented_names(rng: random.Random, count: int, used: set[str], syllables: int = 1) -> list[str]:
    """`count` different invented names, none of them in `used`, which is extended."""
    names: list[str] = []
    while len(names) < count:
        name = _invented(rng, syllables)
        if name not in used:
            used.add(name)
            names.append(name)
    return names
