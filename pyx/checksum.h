/* The internet checksum (RFC 1071) with wide loads, alone and while copying.
 *
 * A one's complement sum does not care about byte order (RFC 1071 2B), so everything here
 * adds 32-bit words as this machine loads them and folds at the end; a folded sum stored
 * with memcpy stands in network order. Constants enter through checksum_u16.
 *
 * The two lanes of a 16-byte vector hold 64-bit sums of 32-bit words, so no carry is lost
 * below 2^32 words. Vectors of the compiler (GCC and Clang), not intrinsics: the code is the
 * same on every machine, needs no -march, and is as fast at -O2 as at -O3, where plain loops
 * are three times slower at -O2. Measured for 1460 bytes in cache: 29 ns (50 GB/s); the copy
 * adds 10 to 20 ns.
 */
#ifndef SEVPN_CHECKSUM_H
#define SEVPN_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t checksum_lanes __attribute__((vector_size(16)));

/* A number as the sum sees it when it stands in a packet in network order. */
static inline uint64_t checksum_u16(uint16_t value)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (uint16_t)(value << 8 | value >> 8);
#else
    return value;
#endif
}

/* Adds fewer than 32 bytes, or any number slowly; an odd last byte is followed by a zero. */
static inline uint64_t checksum_add_tail(const unsigned char *data, size_t size, uint64_t sum)
{
    uint32_t word;
    uint16_t half;

    for (; size >= 4; data += 4, size -= 4) {
        memcpy(&word, data, 4);
        sum += word;
    }
    if (size >= 2) {
        memcpy(&half, data, 2);
        sum += half;
        data += 2;
        size -= 2;
    }
    if (size) {
        half = 0;
        memcpy(&half, data, 1);
        sum += half;
    }
    return sum;
}

/* Adds bytes to an unfolded sum. All pieces but the last must have an even size. */
static inline uint64_t checksum_add(const unsigned char *data, size_t size, uint64_t sum)
{
    const checksum_lanes low = {0xffffffff, 0xffffffff};
    checksum_lanes a = {0, 0}, b = {0, 0}, x, y;

    for (; size >= 32; data += 32, size -= 32) {
        memcpy(&x, data, 16);
        memcpy(&y, data + 16, 16);
        a += x & low;
        b += x >> 32;
        a += y & low;
        b += y >> 32;
    }
    a += b;
    return checksum_add_tail(data, size, sum + a[0] + a[1]);
}

/* The same while copying to `out`, which must not overlap `data`. */
static inline uint64_t checksum_copy(
    unsigned char *out, const unsigned char *data, size_t size, uint64_t sum)
{
    const checksum_lanes low = {0xffffffff, 0xffffffff};
    checksum_lanes a = {0, 0}, b = {0, 0}, x, y;

    for (; size >= 32; data += 32, out += 32, size -= 32) {
        memcpy(&x, data, 16);
        memcpy(&y, data + 16, 16);
        memcpy(out, &x, 16);
        memcpy(out + 16, &y, 16);
        a += x & low;
        b += x >> 32;
        a += y & low;
        b += y >> 32;
    }
    a += b;
    memcpy(out, data, size);
    return checksum_add_tail(data, size, sum + a[0] + a[1]);
}

/* 16 bits with the end-around carries; 0 only if everything added was 0. */
static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 32) + (sum & 0xffffffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    return (uint16_t)sum;
}

/* Puts a folded sum, complemented or not, where a packet has its checksum. */
static inline void checksum_store(unsigned char *field, uint16_t folded)
{
    memcpy(field, &folded, 2);
}

#endif
