import ipaddr from "ipaddr.js";

/**
 * The prefix under which DNS64 embeds IPv4 addresses (RFC 6052), and the part of IPv6 that is assigned (RFC 4291).
 */
const NAT64 = ipaddr.IPv6.parse("64:ff9b::");
const GLOBAL_UNICAST = ipaddr.IPv6.parse("2000::");
/** Reached like any other address, but answered by Azure's host itself. */
const AZURE_HOST = "168.63.129.16";

/**
 * Whether an address belongs to the public internet: not private, loopback, link-local (where clouds
 * have their metadata), shared (CGNAT), reserved, multicast or documentation, nor an IPv6 form of
 * such an IPv4 address.
 */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  return isPublic(ipaddr.parse(text));
}

function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address instanceof ipaddr.IPv4)
    return address.range() === "unicast" && address.toString() !== AZURE_HOST;
  if (address.isIPv4MappedAddress()) return isPublic(address.toIPv4Address());
  if (address.match(NAT64, 96))
    return isPublic(ipaddr.fromByteArray(address.toByteArray().slice(12)));
  return address.range() === "unicast" && address.match(GLOBAL_UNICAST, 3);
}
