"""The users' clients that need Node.js: Node-RED with its dashboard, mqtt.js."""
