/*
 * Shuts the ext4 down that the given directory lies on, as a power loss would: nothing more reaches its device, not even
 * what the journal holds in memory (EXT4_GOING_FLAGS_NOLOGFLUSH).
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>

#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define NOLOGFLUSH 2

int main(int count, char **words) {
  if (count != 2) return 2;
  int fd = open(words[1], O_RDONLY | O_DIRECTORY);
  uint32_t how = NOLOGFLUSH;
  if (fd < 0 || ioctl(fd, EXT4_IOC_SHUTDOWN, &how) != 0) {
    perror(words[1]);
    return 1;
  }
  return 0;
}
