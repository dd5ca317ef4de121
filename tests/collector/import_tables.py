"""[[import]] tables that several tests use."""

from config.model import Availability, Import, ImportEntity

PLUG = Import(
    topic="tele/plug/SENSOR",
    timeout=900.0,
    availability=Availability(topic="tele/plug/LWT", online="Online", offline="Offline"),
    entities={
        "power": ImportEntity(path="ENERGY.Power", unit="W"),
        "energy": ImportEntity(path="ENERGY.Total", unit="kWh"),
        "switch": ImportEntity(
            topics=("stat/plug/RESULT", "tele/plug/STATE"), path="POWER", command_topic="cmnd/plug/POWER"
        ),
    },
)
THERMO = Import(
    topic="zigbee2mqtt/outside",
    time="last_seen",
    entities={"temperature": ImportEntity(path="temperature", unit="°C")},
)
