"""Who made a meter, by the three letters of the FLAG Association."""

from collections.abc import Mapping

_MAKERS: Mapping[str, str] = {
    "ace": "Itron",
    "adn": "Aidon",
    "dzg": "DZG",
    "ebz": "eBZ",
    "els": "Elster",
    "emh": "EMH",
    "esy": "EasyMeter",
    "hag": "Hager",
    "hly": "Holley",
    "isk": "Iskraemeco",
    "itr": "Itron",
    "kam": "Kamstrup",
    "kfm": "Kaifa",
    "kmp": "Kamstrup",
    "lgz": "Landis+Gyr",
    "log": "Logarex",
    "nes": "NES",
    "sag": "Sagemcom",
    "xmx": "Landis+Gyr",
}


def maker(letters: str) -> str:
    """Return the name of a maker, or the letters if we do not know it."""
    return _MAKERS.get(letters.casefold(), letters)
