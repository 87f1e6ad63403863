"""What `sevpn -h` prints: what people need, on one screen.

Pure; loaded only to say it. The list of all flags in Go's form is in `usage`.
"""

HELP = """\
sevpn connects this host to a SoftEther VPN server.

  sevpn -host vpn.example.com -user admin -accept-default-gateway -accept-dns
  sevpn -host 192.0.2.1 -user admin -pass-file FILE -cert-sha256 FINGERPRINT

commands    sevpn status, wait, cleanup, help, version (sevpn help COMMAND)

server      -host NAME  -port 443  -hub DEFAULT
login       -user NAME  -pass TEXT  -plain-password (RADIUS)  -retry-refused 0s
            -pass-file FILE (- = stdin; also SEVPN_PASS_FILE; asked for without)
certificate -cert-sha256 FINGERPRINT  -ca-file FILE  -insecure
network     -accept-default-gateway  -accept-dns  -accept-static-routes
            -policy-route-table N  -dns auto  -no-dhcp
            -accept-ra  -keep-inbound=false
interface   -tap NAME  -mac ADDRESS
reconnect   -reconnect-delay 5s  -reconnect-max-delay 1m  -once
speed       -congestion auto
log         -v  -quiet  -timestamps
other       -state-dir /run/sevpn  -no-control  -print-config  -version

A boolean is written -flag or -flag=false, a duration 5s or 1m30s.
Every flag with its meaning: sevpn help flags

exit codes  0 ended by a signal    2 a flag is wrong   3 refused: password, ...
            4 this host            5 the network       6 the certificate
            7 no SoftEther server  8 no DHCP answer    1 a bug
            9 wait: not ready      10 status, wait: nothing runs
"""
