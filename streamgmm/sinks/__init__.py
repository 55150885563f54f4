"""From records to other programs: stdout, files, sockets and commands, a queue each."""
