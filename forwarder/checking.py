"""What is wrong with outputs that only the libraries know which are loaded for it."""

from bus.schedule import BadCronError, check_cron
from config.mistakes import Mistake
from config.model import Settings


def find_mistakes(settings: Settings, where: str) -> list[Mistake]:
    """Every mistake in the times of outputs."""
    found: list[Mistake] = []
    for name, output in settings.output.items():
        try:
            if output.cron is not None:
                check_cron(output.cron)
        except BadCronError as error:
            allowed = "minute, hour, day, month, weekday, such as */5 * * * *"
            found.append(Mistake(where, f"output.{name}.cron", str(error), allowed))
    return found
