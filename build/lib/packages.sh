# shellcheck shell=bash
# Debian packages by purpose, for need_packages: sourced, never run.
# shellcheck disable=SC2034  # used by those who source this

# To check the sources.
LINT_PACKAGES=(git shellcheck)

# The lab of the end-to-end tests and the demo: a real server and client, a DHCP server,
# namespaces, traffic, captures and certificates.
LAB_PACKAGES=(
    softether-vpnserver softether-vpnclient softether-vpncmd
    dnsmasq-base iperf3 iproute2 nftables iputils-ping
    tcpdump tshark openssl procps psmisc util-linux
)
