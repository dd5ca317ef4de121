"""The tables, in peewee's words: how they are keyed is what the card's wear depends on."""

from peewee import (
    AutoField,
    BareField,
    BigIntegerField,
    BlobField,
    CompositeKey,
    DoubleField,
    IntegerField,
    Model,
    TextField,
)

# What a file of the version before lacks is added by migrations.py.
SCHEMA_VERSION = 3


class Meta(Model):
    """Facts about the database, such as its schema version."""

    key = TextField(primary_key=True)
    value = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "meta"
        without_rowid = True


class Entity(Model):
    """The number of every entity and what its device's about says of it."""

    id = IntegerField(primary_key=True)
    device = TextField()
    entity = TextField()
    first = BigIntegerField()
    name = TextField(null=True)
    unit = TextField(null=True)
    device_class = TextField(null=True)
    state_class = TextField(null=True)
    # Days its states and 5-minute rows are kept; null: as long as all others.
    retention_days = IntegerField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "entity"
        indexes = ((("device", "entity"), True),)


class State(Model):
    """Time comes first in the key, so that new states go to the end of the file's tree."""

    ts = BigIntegerField()
    entity = IntegerField()
    # No type, hence no affinity: a number stays a number, a text a text.
    value = BareField(null=True)
    last_reset = BigIntegerField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "states"
        primary_key = CompositeKey("ts", "entity")
        without_rowid = True


class Frame(Model):
    """The state in force at the start of an hour, so that no search goes back further than that."""

    entity = IntegerField()
    start = BigIntegerField()
    ts = BigIntegerField()
    value = BareField(null=True)
    last_reset = BigIntegerField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "frames"
        primary_key = CompositeKey("entity", "start")
        without_rowid = True


class _Statistics(Model):
    entity = IntegerField()
    start = BigIntegerField()
    mean = DoubleField(null=True)
    mean_weight = DoubleField(null=True)
    min = DoubleField(null=True)
    max = DoubleField(null=True)
    state = DoubleField(null=True)
    sum = DoubleField(null=True)
    sum_increase = DoubleField(null=True)
    sum_decrease = DoubleField(null=True)
    last_reset = BigIntegerField(null=True)
    # Null: an imported row that says nothing of it.
    coverage = DoubleField(null=True)
    rev = IntegerField()


class FiveMinutes(_Statistics):
    """A row for each entity and 5-minute period."""

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "statistics_5minute"
        primary_key = CompositeKey("entity", "start")
        without_rowid = True


class Hour(_Statistics):
    """A row for each entity and hour."""

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "statistics_hour"
        primary_key = CompositeKey("entity", "start")
        without_rowid = True


class Run(Model):
    """5-minute periods that were compiled, with or without rows."""

    start = BigIntegerField(primary_key=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "runs"


class Stream(Model):
    """How far each stream is on disk."""

    stream = TextField(primary_key=True)
    seq = BigIntegerField()
    seen = BigIntegerField()
    # Of the reading with seq 1, and the latest: a counter that begins again is told by them.
    first = BigIntegerField(null=True)
    newest = BigIntegerField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "stream"
        without_rowid = True


class Owner(Model):
    """The services that a device's abouts have named: the readings in their streams count."""

    device = TextField()
    service = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "owner"
        primary_key = CompositeKey("device", "service")
        without_rowid = True


class Dirty(Model):
    """Entities whose compiled rows no longer agree with their states."""

    entity = IntegerField(primary_key=True)
    since = BigIntegerField()
    until = BigIntegerField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "dirty"


class Keeping(Model):
    """What rows of an entity are in, and what a user has set: Said pairs as JSON."""

    entity = IntegerField(primary_key=True)
    # Null: there are no rows yet. Empty: no unit.
    unit = TextField(null=True)
    angle = IntegerField(null=True)
    begins = BigIntegerField()
    enabled = IntegerField()
    said = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "keeping"


class Described(Model):
    """What about said from a time on: `what` is unit, class, expire (ms) or daily (no word)."""

    entity = IntegerField()
    what = TextField()
    since = BigIntegerField()
    word = TextField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "described"
        primary_key = CompositeKey("entity", "what", "since")
        without_rowid = True


class Fix(Model):
    """What users changed: parameters as JSON, what takes it back as compressed JSON."""

    id = AutoField()
    ts = BigIntegerField()
    verb = TextField()
    params = TextField()
    # Numbers of the entities, as JSON.
    entities = TextField()
    undo = BlobField(null=True)
    undone = BigIntegerField(null=True)

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "fix"


class Adjusted(Model):
    """What a fix added to the sums from a period on."""

    entity = IntegerField()
    start = BigIntegerField()
    fix = IntegerField()
    amount = DoubleField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "adjusted"
        primary_key = CompositeKey("entity", "start", "fix")
        without_rowid = True


class Renewed(Model):
    """From when on a fix says that an entity's counter is another one: its first number adds nothing."""

    entity = IntegerField()
    start = BigIntegerField()
    fix = IntegerField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "renewed"
        primary_key = CompositeKey("entity", "start", "fix")
        without_rowid = True


class Imported(Model):
    """Hourly rows that a fix brought: no correction replaces them."""

    entity = IntegerField()
    start = BigIntegerField()
    fix = IntegerField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "imported"
        primary_key = CompositeKey("entity", "start")
        without_rowid = True


class Held(Model):
    """Readings of counters that fell or rose too fast: `verdict` is held, left_out, or accepted by a user."""

    entity = IntegerField()
    ts = BigIntegerField()
    value = DoubleField()
    # The value that it fell or rose from.
    before = DoubleField()
    # fall or leap
    why = TextField()
    verdict = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "held"
        primary_key = CompositeKey("entity", "ts")
        without_rowid = True


class Counter(Model):
    """What is known of each counter at its last fall, leap or hour, as JSON."""

    entity = IntegerField(primary_key=True)
    memory = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "counter"


class Piece(Model):
    """A fix that goes on with an earlier one: they are taken back together."""

    first = IntegerField()
    fix = IntegerField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "piece"
        primary_key = CompositeKey("first", "fix")
        without_rowid = True


class Undated(Model):
    """Readings that came before the clock was set: when they were measured since the start of the machine."""

    id = AutoField()
    boot = TextField()
    since_boot = BigIntegerField()
    device = TextField()
    payload = BlobField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "undated"


class Dead(Model):
    """Messages that could not be used."""

    id = AutoField()
    ts = BigIntegerField()
    topic = TextField()
    payload = BlobField()
    error = TextField()

    class Meta:  # noqa: D106 — peewee's own form
        table_name = "dead_letter"


ALL: tuple[type[Model], ...] = (
    Meta,
    Entity,
    State,
    Frame,
    FiveMinutes,
    Hour,
    Run,
    Stream,
    Owner,
    Dirty,
    Keeping,
    Described,
    Fix,
    Adjusted,
    Renewed,
    Imported,
    Held,
    Counter,
    Piece,
    Undated,
    Dead,
)
