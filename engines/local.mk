# towline: the reference host. It sees towline.h and image_pull.h alone.
