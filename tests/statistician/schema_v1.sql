-- The tables as version 1 made them: what a migration must be able to start from.
PRAGMA journal_mode = wal;
CREATE TABLE "dead_letter" ("id" INTEGER NOT NULL PRIMARY KEY, "ts" INTEGER NOT NULL, "topic" TEXT NOT NULL, "payload" BLOB NOT NULL, "error" TEXT NOT NULL);
CREATE TABLE "dirty" ("entity" INTEGER NOT NULL PRIMARY KEY, "since" INTEGER NOT NULL, "until" INTEGER NOT NULL);
CREATE TABLE "entity" ("id" INTEGER NOT NULL PRIMARY KEY, "device" TEXT NOT NULL, "entity" TEXT NOT NULL, "first" INTEGER NOT NULL, "name" TEXT, "unit" TEXT, "device_class" TEXT, "state_class" TEXT);
CREATE UNIQUE INDEX "entity_device_entity" ON "entity" ("device", "entity");
CREATE TABLE "statistics_5minute" ("entity" INTEGER NOT NULL, "start" INTEGER NOT NULL, "mean" REAL, "mean_weight" REAL, "min" REAL, "max" REAL, "state" REAL, "sum" REAL, "sum_increase" REAL, "sum_decrease" REAL, "last_reset" INTEGER, "coverage" REAL NOT NULL, "rev" INTEGER NOT NULL, PRIMARY KEY ("entity", "start")) WITHOUT ROWID;
CREATE TABLE "frames" ("entity" INTEGER NOT NULL, "start" INTEGER NOT NULL, "ts" INTEGER NOT NULL, "value", "last_reset" INTEGER, PRIMARY KEY ("entity", "start")) WITHOUT ROWID;
CREATE TABLE "statistics_hour" ("entity" INTEGER NOT NULL, "start" INTEGER NOT NULL, "mean" REAL, "mean_weight" REAL, "min" REAL, "max" REAL, "state" REAL, "sum" REAL, "sum_increase" REAL, "sum_decrease" REAL, "last_reset" INTEGER, "coverage" REAL NOT NULL, "rev" INTEGER NOT NULL, PRIMARY KEY ("entity", "start")) WITHOUT ROWID;
CREATE TABLE "meta" ("key" TEXT NOT NULL PRIMARY KEY, "value" TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE "runs" ("start" INTEGER NOT NULL PRIMARY KEY);
CREATE TABLE "states" ("ts" INTEGER NOT NULL, "entity" INTEGER NOT NULL, "value", "last_reset" INTEGER, PRIMARY KEY ("ts", "entity")) WITHOUT ROWID;
CREATE TABLE "stream" ("stream" TEXT NOT NULL PRIMARY KEY, "seq" INTEGER NOT NULL, "seen" INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema_version', '1');
