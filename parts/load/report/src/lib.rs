//! How a load test is shown: functions from a result to text, to a terminal's live view and to an HTML page.
