-- For searches by address. A new partition gets them from its parent.
CREATE INDEX history_recipient ON history (recipient text_pattern_ops);
CREATE INDEX history_given     ON history (given text_pattern_ops) WHERE given <> '';
CREATE INDEX history_sender    ON history (sender text_pattern_ops);
