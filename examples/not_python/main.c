#include <stdio.h>

#include "hosts.h"

int main(void)
{
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        puts(hosts[i]);
    return 0;
}
