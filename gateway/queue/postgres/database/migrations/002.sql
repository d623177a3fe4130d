-- What was told and waits for who is handed it; taken is when a gateway took it.
CREATE TABLE feedback_outgoing (
	seq      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	receiver text   NOT NULL,
	taken    bigint NOT NULL,
	info     text   NOT NULL
);
CREATE INDEX feedback_outgoing_receiver ON feedback_outgoing (receiver, seq);
