"""Reads the file `hello` from each FTP server that is named, with connections that the server makes, and prints it."""

import ftplib
import sys

for host in sys.argv[1:]:
    with ftplib.FTP(host, timeout=10) as ftp:
        ftp.set_pasv(False)
        ftp.login()
        ftp.retrlines("RETR hello", print)
