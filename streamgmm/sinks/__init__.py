"""From records to other programs: stdout and sockets, a queue each."""
