/* The least that can answer a command: hears one topic and says on another what it heard, QoS 1.
 * echo <port> <heard> <said> */
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>

static const char *said;

static void on_message(struct mosquitto *client, void *unused, const struct mosquitto_message *message)
{
	(void)unused;
	mosquitto_publish(client, NULL, said, message->payloadlen, message->payload, 1, true);
}

static void on_subscribe(struct mosquitto *client, void *unused, int mid, int count, const int *granted)
{
	(void)client, (void)unused, (void)mid, (void)count, (void)granted;
	puts("ready");
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	said = argv[3];
	mosquitto_lib_init();
	struct mosquitto *client = mosquitto_new("echo", true, NULL);
	mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
	mosquitto_message_callback_set(client, on_message);
	mosquitto_subscribe_callback_set(client, on_subscribe);
	if (mosquitto_connect(client, "127.0.0.1", atoi(argv[1]), 60) != MOSQ_ERR_SUCCESS)
		return 1;
	mosquitto_subscribe(client, NULL, argv[2], 1);
	return mosquitto_loop_forever(client, -1, 1);
}
