"""From records to other programs: stdout, files and sockets, a queue each."""
